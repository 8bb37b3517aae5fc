// Perfetto's trace processor, as WebAssembly, behind a pipe: each line of the input is a request of its protocol in hexadecimal
// digits, each line of the output an answer.
//
// The folder is that of a release of the viewer, with engine_bundle.js and trace_processor.wasm. The bundle is a worker
// of a browser: it is given the few things of one that it asks for.
'use strict';
const fs = require('fs');
const path = require('path');
const readline = require('readline');
const vm = require('vm');

const folder = process.argv[2];
const read = (url) => {
    const bytes = fs.readFileSync(path.join(folder, path.basename(String(url))));
    return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
};

class XMLHttpRequest {
    open(_method, url) {
        this.url = url;
    }
    send() {
        this.response = read(this.url);
        this.status = 200;
        this.onload?.();
    }
}

const worker = {
    XMLHttpRequest,
    TextDecoder,
    TextEncoder,
    URL,
    WorkerGlobalScope() {},
    clearInterval,
    clearTimeout,
    console: { ...console, log: console.error, info: console.error },
    importScripts() {},
    location: { href: 'http://localhost/engine_bundle.js' },
    performance,
    setInterval,
    setTimeout,
};
worker.self = worker;
vm.createContext(worker);
// What it is told before it is ready is lost: it is when the last thing that it does before has returned.
worker.ready = () => setImmediate(listen);
vm.runInContext(
    `const { Instance } = WebAssembly;
    WebAssembly.Instance = function (module, imports) {
        const { exports } = new Instance(module, imports);
        const { trace_processor_rpc_init: last } = exports;
        const init = (...given) => {
            const result = last(...given);
            ready();
            return result;
        };
        return { exports: { ...exports, ...(last && { trace_processor_rpc_init: init }) } };
    };`,
    worker,
);
vm.runInContext(fs.readFileSync(path.join(folder, 'engine_bundle.js'), 'utf8'), worker);

const port = {
    postMessage(answer) {
        process.stdout.write(Buffer.from(Array.from(answer)).toString('hex') + '\n');
    },
};
worker.onmessage({ data: port });

// Its own kind of array: a worker looks whether it is one.
const bytes = vm.runInContext('(list) => Uint8Array.from(list)', worker);
function listen() {
    const input = readline.createInterface({ input: process.stdin });
    input.on('line', (line) => port.onmessage({ data: bytes([...Buffer.from(line, 'hex')]) }));
    input.on('close', () => process.exit(0));
}
