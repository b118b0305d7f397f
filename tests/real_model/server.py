"""llama.cpp's own HTTP server with one model and one slot: `server.py MODEL PORT WINDOW`. Needs `xllamacpp`."""

import sys
import time

import xllamacpp

params = xllamacpp.CommonParams()
params.model.path, params.port, params.n_ctx = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
params.model_alias = {"local"}
params.hostnames = ["127.0.0.1"]
params.n_parallel = 1
params.use_jinja = True
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1  # those that wait for each other spin
params.n_gpu_layers = 0
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
while True:
    time.sleep(3600)
