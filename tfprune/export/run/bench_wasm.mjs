// Runs .tflite files in LiteRT.js, LiteRT compiled to WebAssembly, on one thread of Node.
//
// Started by tfprune.export.wasm as `node bench_wasm.mjs NODE_MODULES FOLDER`; child.py tells what
// goes through the folder. Arrays lie one after the other in inputs.bin and outputs.bin.
import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';
import { performance } from 'node:perf_hooks';
import { pathToFileURL } from 'node:url';
import v8 from 'node:v8';
import vm from 'node:vm';

const TURN_MS = 10; // a file runs for so long before another one's turn, as in child.py
const WARMUP_MS = 1000; // per file, until V8 has replaced its quick first code by the optimized one
const ARRAYS = { float32: Float32Array, int32: Int32Array, uint8: Uint8Array };
// A module with one i8x16.relaxed_swizzle, valid where the faster build runs.
const RELAXED_SIMD = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1, 253, 15,
  65, 2, 253, 15, 253, 128, 2, 11,
]);

const [modules, folder] = process.argv.slice(2);
const request = JSON.parse(fs.readFileSync(path.join(folder, 'request.json'), 'utf8'));
let reported = ''; // the first error that the runtime has logged

function write(name, content) {
  const file = path.join(folder, name);
  fs.writeFileSync(`${file}.new`, JSON.stringify(content));
  fs.renameSync(`${file}.new`, file);
}

function stage(file, doing) {
  write('stage.json', { path: file, doing });
}

function beat() {
  const now = new Date();
  fs.utimesSync(path.join(folder, 'stage.json'), now, now);
}

function requireNoError() {
  if (reported) throw new Error(reported);
}

// The runtime is made for a browser's worker; these are the parts of one that it asks for.
async function start() {
  v8.setFlagsFromString('--experimental-wasm-relaxed-simd'); // needed before Node 22
  // V8 replaces its quick first code by the optimized one function by function, some of them late:
  // a sparse MobileNet was once timed with kernels half as fast. So everything is optimized first.
  if (request.job === 'bench') v8.setFlagsFromString('--no-liftoff');
  const folderOfBuilds = path.join(modules, '@litertjs', 'core', 'wasm');
  const relaxed = WebAssembly.validate(RELAXED_SIMD);
  const build = path.join(
    folderOfBuilds, relaxed ? 'litert_wasm_internal' : 'litert_wasm_compat_internal');
  globalThis.self = globalThis;
  globalThis.require = createRequire(import.meta.url);
  globalThis.__dirname = folderOfBuilds;
  globalThis.__filename = `${build}.js`;
  globalThis.location = { href: `${pathToFileURL(folderOfBuilds)}/` };
  globalThis.importScripts = (file) =>
    vm.runInThisContext(fs.readFileSync(file, 'utf8'), { filename: file });
  globalThis.Module = {
    wasmBinary: fs.readFileSync(`${build}.wasm`),
    print: () => {},
    printErr: (line) => {
      const found = /ERROR:\s*(.*)/.exec(line);
      if (found && !reported) reported = found[1];
    },
  };
  console.warn = console.error = () => {}; // it complains of the missing graphics processor
  const core = await import(pathToFileURL(path.join(modules, '@litertjs/core/dist/index.js')));
  await core.loadLiteRt(`${build}.js`);
  return core;
}

async function load(core, file) {
  stage(file, 'while loading');
  reported = '';
  const model = await core.loadAndCompile(
    new Uint8Array(fs.readFileSync(file)), { accelerator: 'wasm' });
  requireNoError();
  return model;
}

function arrayType(dtype) {
  if (!(dtype in ARRAYS)) throw new Error(`LiteRT.js takes no ${dtype} inputs`);
  return ARRAYS[dtype];
}

// Floats in [-1, 1) and zero integers, the same for every file of the same signature.
function randomInputs(core, model) {
  let state = 12345;
  return model.getInputDetails().map((detail) => {
    const shape = Array.from(detail.shape);
    const values = new (arrayType(detail.dtype))(shape.reduce((a, b) => a * b, 1));
    if (detail.dtype === 'float32') {
      for (let i = 0; i < values.length; i++) {
        state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
        values[i] = state / 0x40000000 - 1;
      }
    }
    return new core.Tensor(values, shape);
  });
}

// Values in the order of `names` where these are the runtime's names, else in its own order.
function ordered(values, details, names) {
  const places = names.map((name) => details.findIndex((detail) => detail.name === name));
  const known = new Set(places).size === details.length && !places.includes(-1);
  return known ? places.map((place) => values[place]) : values;
}

async function outputs(core) {
  const model = await load(core, request.path);
  stage(request.path, 'while running');
  const wanted = request.inputs.map((input) => input.name);
  const details = ordered(model.getInputDetails(), model.getInputDetails(), wanted);
  if (details.length !== request.inputs.length) {
    throw new Error(`it has ${details.length} inputs, not ${request.inputs.length}`);
  }
  const content = fs.readFileSync(path.join(folder, 'inputs.bin'));
  const answers = [];
  const file = fs.openSync(path.join(folder, 'outputs.bin'), 'w');
  for (let turn = 0, offset = 0; turn < request.runs; turn++) {
    const inputs = {};
    request.inputs.forEach(({ dtype, shape, bytes }, index) => {
      const found = details[index];
      if (found.dtype !== dtype || `${Array.from(found.shape)}` !== `${shape}`) {
        throw new Error(
          `input ${index} must be ${found.dtype} of shape ${Array.from(found.shape)}, ` +
          `not ${dtype} of shape ${shape}`);
      }
      const part = new Uint8Array(content.subarray(offset, offset + bytes));
      offset += bytes;
      inputs[found.name] = new core.Tensor(new (arrayType(dtype))(part.buffer), shape);
    });
    const results = await model.run(inputs);
    requireNoError();
    const known = model.getOutputDetails();
    const listed = known.map((detail) => results[detail.name]);
    for (const result of ordered(listed, known, request.outputs)) {
      const values = result.toTypedArray();
      fs.writeSync(file, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
      const { dtype, layout } = result.type;
      answers.push({ dtype, shape: Array.from(layout.dimensions) });
    }
    for (const used of [...Object.values(inputs), ...listed]) used.delete();
    beat();
  }
  fs.closeSync(file);
  return { outputs: answers };
}

// Loads a file and runs it; returns a function that runs it for a turn and gives the seconds of one
// inference by clock and by processor.
async function runner(core, file) {
  const model = await load(core, file);
  const inputs = randomInputs(core, model);
  const run = async () => {
    const worked = process.cpuUsage();
    const started = performance.now();
    let count = 0;
    do {
      for (const result of await model.run(inputs)) result.delete();
      count += 1;
    } while (performance.now() - started < TURN_MS);
    const wall = (performance.now() - started) / 1e3;
    const { user, system } = process.cpuUsage(worked);
    return [wall / count, (user + system) / 1e6 / count];
  };
  await run();
  requireNoError();
  return run;
}

async function loading(core) {
  const begin = performance.now();
  await runner(core, request.path);
  return { seconds: (performance.now() - begin) / 1e3 };
}

async function bench(core) {
  const runners = [];
  for (const file of request.paths) runners.push(await runner(core, file));
  stage(request.paths.length > 1 ? request.paths : request.paths[0], 'while timing');
  const wall = runners.map(() => []);
  const cpu = runners.map(() => []);
  const warm = performance.now() + WARMUP_MS * runners.length;
  for (let turn = 0; turn < request.warmup || performance.now() < warm; turn++) {
    for (const run of runners) await run();
    beat();
  }
  for (let turn = 0; turn < request.runs; turn++) {
    for (const [index, run] of runners.entries()) {
      const [elapsed, worked] = await run();
      wall[index].push(elapsed);
      cpu[index].push(worked);
    }
    beat();
  }
  requireNoError();
  return { wall, cpu };
}

let answer;
try {
  const core = await start();
  answer = await { outputs, bench, load: loading }[request.job](core);
} catch (error) {
  answer = { error: reported || String(error?.message ?? error) || 'an unknown error' };
}
write('answer.json', answer);
process.exit(0); // the runtime may keep the event loop alive
