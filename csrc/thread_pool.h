/* thread_pool.h — the pool: the only threads of the project.
 *
 * An object that its owner creates, passes to kernels in an fs_context, and destroys. Workers are
 * started when a call first needs them. An idle worker spins for about 50 us, long enough for the
 * next of a series of calls, then sleeps and uses no CPU time.
 *
 * One call at a time uses the workers. A call made meanwhile, from another thread or from inside a
 * task, runs on its calling thread alone: no call waits for another. The same holds if no worker
 * can be started: no call fails.
 *
 * A forked process inherits its parent's pool object but not the workers. It must neither use nor
 * destroy that pool, but create its own. */
#ifndef FS_THREAD_POOL_H
#define FS_THREAD_POOL_H

/* The maximum number of threads of a call, including the calling thread. */
#if defined(FS_NO_THREADS)
#define FS_MAX_THREADS 1
#else
#define FS_MAX_THREADS 256
#endif

typedef struct fs_thread_pool fs_thread_pool;

/* A pool without workers; NULL if there is no memory. Nothing else in csrc allocates. */
fs_thread_pool *fs_thread_pool_create(void);

/* Ends the workers and frees the pool, which must not be in use. */
void fs_thread_pool_destroy(fs_thread_pool *pool);

/* Calls task(argument, chunk, rank) once for each chunk in [0, chunks), and returns when all are
 * done.
 *
 * threads   in [1, FS_MAX_THREADS]: the maximum number of threads, including the calling thread
 * chunks    in [0, FS_MAX_CHUNKS]; threads claim them one by one, so that a delayed thread, on a
 *           busy core, delays the call only by the chunk it has begun. Each thread tries first the
 *           chunk with which it began the previous call, whose data may be in its core's cache
 * rank      in [0, threads): identifies the thread in this call, for scratch of its own; unique
 *           among the threads of the call, and 0 for the calling thread */
#define FS_MAX_CHUNKS 1024
typedef void (*fs_chunk_task)(void *argument, int chunk, int rank);
void fs_thread_pool_run(fs_thread_pool *pool, int threads, int chunks, fs_chunk_task task,
                        void *argument);

/* The number of chunks to use with so many threads: one each, or more if the load of recent calls
 * was imbalanced, as on busy cores. */
int fs_thread_pool_chunks(const fs_thread_pool *pool, int threads);

/* Calls task(argument, rank, ranks) for all ranks in [0, ranks) concurrently, each on a thread of
 * its own, and returns when all are done; the task may use the barrier. ranks, from 1 to `threads`,
 * is the number of threads that joined within about 50 us; the calling thread has rank 0. */
typedef void (*fs_team_task)(void *argument, int rank, int ranks);
void fs_thread_pool_run_team(fs_thread_pool *pool, int threads, fs_team_task task, void *argument);

/* A barrier for the task of a team: returns when all ranks have called it equally often. What a
 * rank wrote before the barrier is visible to all ranks after it. */
void fs_thread_pool_barrier(fs_thread_pool *pool, int ranks);

#endif
