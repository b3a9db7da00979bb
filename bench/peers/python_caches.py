"""Caches that Dash applications use today, measured where they run: in Python.

    python_caches.py diskcache|flask-caching DIRECTORY fill COUNT BYTES
    python_caches.py diskcache|flask-caching DIRECTORY read COUNT SEED      prints the median microseconds of a get

Both give the value's bytes back; neither checks them. Flask-Caching's filesystem backend pickles.
"""

import os
import random
import sys
import time


def open_cache(kind, directory):
    if kind == "diskcache":
        import diskcache

        cache = diskcache.Cache(directory, size_limit=1 << 40, eviction_policy="none")
        return cache.get, cache.set
    from flask_caching.backends.filesystemcache import FileSystemCache

    cache = FileSystemCache(directory, threshold=0, default_timeout=0)
    return cache.get, cache.set


def main():
    kind, directory, verb, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    get, put = open_cache(kind, directory)
    keys = ["key %d" % i for i in range(count)]
    if verb == "fill":
        for key in keys:
            put(key, os.urandom(int(sys.argv[5])))
        return
    random.seed(int(sys.argv[5]))
    random.shuffle(keys)
    taken = []
    for key in keys:
        begin = time.perf_counter_ns()
        value = get(key)
        taken.append(time.perf_counter_ns() - begin)
        assert value is not None, key
    taken.sort()
    print(taken[len(taken) // 2] / 1000)


main()
