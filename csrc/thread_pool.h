/* thread_pool.h — the pool: the only threads of the project.
 *
 * An object that its owner creates, passes to kernels in an fs_context, and destroys. Its workers
 * are started when a call first needs them. An idle worker spins for about 50 us, long
 * enough for the next call of a busy caller, then sleeps and uses no CPU time.
 *
 * One call at a time has the workers. A call made meanwhile, from another thread or from inside a
 * task, computes alone: no call waits for another. The same holds where no worker can be started:
 * no call fails.
 *
 * A process that was forked has its parent's pool object, but not the workers. It must neither call
 * with that pool nor destroy it, but forget it and create its own. */
#ifndef FS_THREAD_POOL_H
#define FS_THREAD_POOL_H

/* The most threads of a pool, its caller's among them. */
#define FS_MAX_THREADS 256

typedef struct fs_thread_pool fs_thread_pool;

/* A pool without workers; NULL if there is no memory. Nothing else in csrc allocates. */
fs_thread_pool *fs_thread_pool_create(void);

/* Ends the workers and frees the pool, which no call may be using. */
void fs_thread_pool_destroy(fs_thread_pool *pool);

/* Calls task(argument, chunk, rank) once for each chunk in [0, chunks), and returns when all are
 * done.
 *
 * threads   in [1, FS_MAX_THREADS]: the most that take part, the caller's among them
 * chunks    in [0, FS_MAX_CHUNKS]; threads take them one by one, so that a thread that is late, on
 *           a busy core, delays the call only by the chunk it has begun. Each thread tries first
 *           the chunk with which it began the call before, whose data its core's cache may hold
 * rank      in [0, threads): that of the thread in this call, for scratch that it alone uses; two
 *           threads never have the same one, and the caller's is 0 */
#define FS_MAX_CHUNKS 1024
typedef void (*fs_chunk_task)(void *argument, int chunk, int rank);
void fs_thread_pool_run(fs_thread_pool *pool, int threads, int chunks, fs_chunk_task task,
                        void *argument);

/* How many chunks are the fastest for so many threads: as many, or more where threads were unequal
 * in the calls before, as on busy cores. */
int fs_thread_pool_chunks(const fs_thread_pool *pool, int threads);

/* Calls task(argument, rank, ranks) on all ranks in [0, ranks) at the same time, and returns when
 * all are done; the task may use the barrier. ranks, from 1 to `threads`, is how many threads came
 * within about 50 us; the caller's rank is 0. */
typedef void (*fs_team_task)(void *argument, int rank, int ranks);
void fs_thread_pool_run_team(fs_thread_pool *pool, int threads, fs_team_task task, void *argument);

/* In a team's task: waits until all its ranks have called it as often. What each wrote before, all
 * can read after. */
void fs_thread_pool_barrier(fs_thread_pool *pool, int ranks);

#endif
