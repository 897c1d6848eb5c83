"""Trained models over HTTP: JSON for programs, a page for people. ``fastseq serve`` runs it.

A request goes through `middleware`, `app` and `query`, which checks all of it; then its texts wait
in `batching`, where one thread answers them by `model`. starlette and uvicorn, of the extra
``serve``, are imported by `app`, `middleware`, `responses` and `server` alone.
"""
