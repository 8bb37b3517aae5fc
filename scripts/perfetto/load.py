"""Loads a trace into Perfetto's trace processor, and asks it for every LWP's slices.

usage: load.py VIEWER ACCOUNT TRACE

VIEWER is the folder of a release of the viewer, ACCOUNT what `rumplab explain --json` has written, TRACE what `--perfetto` has.
"""

import json
import pathlib
import subprocess
import sys

from google.protobuf import message_factory
from perfetto.trace_processor.platform import PlatformDelegate
from perfetto.trace_processor.protos import ProtoFactory

CHUNK = 1 << 20
SLICES = """
    select thread.name as name, count(*) as slices
    from slice join thread_track on slice.track_id = thread_track.id join thread using (utid)
    group by thread.name
"""
WRONG = "select name, value from stats where severity in ('error', 'data_loss') and value != 0"
HOLDS = "select 'lock' as name, count(*) as holds from slice where category = 'lock'"


class Engine:
    """The trace processor, in a process of its own."""

    def __init__(self, viewer):
        pool = ProtoFactory(PlatformDelegate()).descriptor_pool

        def message(name):
            kind = pool.FindMessageTypeByName("perfetto.protos." + name)
            return message_factory.GetMessageClass(kind)

        self.stream, self.rpc = message("TraceProcessorRpcStream"), message("TraceProcessorRpc")
        script = pathlib.Path(__file__).with_name("engine.js")
        self.node = subprocess.Popen(
            ["node", script, viewer],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.number = 0

    def ask(self, request, **arguments):
        self.number += 1
        rpc = self.rpc(seq=self.number, request=request)
        for name, value in arguments.items():
            setattr(rpc, name, value)
        return self.send(rpc)

    def send(self, rpc):
        line = self.stream(msg=[rpc]).SerializeToString().hex()
        print(line, file=self.node.stdin, flush=True)
        return self.answers()

    def answers(self):
        line = self.node.stdout.readline()
        if not line:
            sys.exit(f"the trace processor has ended, status {self.node.wait()}")
        answer = self.stream()
        answer.ParseFromString(bytes.fromhex(line.strip()))
        return answer.msg

    def load(self, trace):
        for start in range(0, len(trace), CHUNK):
            part = trace[start : start + CHUNK]
            for answer in self.ask(self.rpc.TPM_APPEND_TRACE_DATA, append_trace_data=part):
                if answer.append_result.error:
                    sys.exit(answer.append_result.error)
        self.ask(self.rpc.TPM_FINALIZE_TRACE_DATA)

    def query(self, sql):
        """The rows of a query that gives a name and a number."""
        self.number += 1
        rpc = self.rpc(seq=self.number, request=self.rpc.TPM_QUERY_STREAMING)
        rpc.query_args.sql_query = sql
        answers, rows, last = self.send(rpc), {}, False
        while True:
            for answer in answers:
                if answer.query_result.error:
                    sys.exit(answer.query_result.error)
                for batch in answer.query_result.batch:
                    names = batch.string_cells.split("\0")
                    rows.update(zip(names, batch.varint_cells))
                    last = batch.is_last_batch
            if last:
                return rows
            answers = self.answers()


def lwps(account):
    """The names of those that ran."""
    return {account["lwps"][run["lwp"]]["name"] for run in account["runs"]}


def main():
    viewer, account, trace = sys.argv[1:]
    engine = Engine(viewer)
    engine.load(pathlib.Path(trace).read_bytes())
    slices, wrong, holds = (engine.query(sql) for sql in (SLICES, WRONG, HOLDS))
    told = json.loads(pathlib.Path(account).read_text())
    missing = lwps(told) - slices.keys()
    if wrong or missing or not holds["lock"]:
        sys.exit(f"errors: {wrong}; without slices: {missing}; holds of locks: {holds}")


if __name__ == "__main__":
    main()
