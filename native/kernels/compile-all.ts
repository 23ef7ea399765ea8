/**
 * Compiles every instance of every template with nvcc and keeps the table of registers, shared memory and spills.
 *
 * `node native/kernels/compile-all.ts`            ⇒ native/build/gpu/*.cubin, instances.txt, and the table compared
 * `node native/kernels/compile-all.ts --write`    ⇒ the same, and resources.json rewritten
 * `node native/kernels/compile-all.ts --only RE`  ⇒ only the instances whose name matches
 * `node native/kernels/compile-all.ts --jobs N`   ⇒ N compilers at a time (2)
 * `node native/kernels/compile-all.ts --check`    ⇒ compiles nothing: resources.json has every instance, none that is gone, and
 *                                                   none that spills more than it says it may
 * `node native/kernels/compile-all.ts --plan`     ⇒ compiles nothing: native/build/gpu/plan.sh does it on another machine, with
 *                                                   all its cores; what it leaves counts here as compiled
 *
 * Needs no GPU. Where nvcc is absent it says so and exits with 0. nvcc's release is part of the table: another release may
 * allocate differently, so the table is compared only under the release that wrote it.
 */
import { spawn, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname } from "node:path"
import { fileURLToPath } from "node:url"
import { instances, type Instance } from "./Instances.ts"

/** What ptxas reports of an entry; shared memory is the static part, bytes. */
interface Resources {
  readonly registers: number
  readonly spillStores: number
  readonly spillLoads: number
  readonly stack: number
  readonly shared: number
}

const here = fileURLToPath(new URL(".", import.meta.url))
const build = fileURLToPath(new URL("../build/gpu/", import.meta.url))
const tablePath = `${here}resources.json`
const flags = ["-cubin", "-O3", "-std=c++20", "-Xptxas", "-v", "--expt-relaxed-constexpr"]

/**
 * The template's code with each header's in its place, once, without comments of whole lines: what an instance is made of,
 * however it is divided into files.
 */
const sourceOf = (file: string, seen: Set<string> = new Set()): string => {
  if (seen.has(file)) return ""
  seen.add(file)
  const beside = (name: string): string =>
    existsSync(`${dirname(file)}/${name}`) ? `${dirname(file)}/${name}` : here + name
  return readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => !/^\s*(\/\/|$)|^#pragma once/.test(line))
    .map((line) => {
      const included = /^#include "([^"]+)"/.exec(line)?.[1]
      return included === undefined ? line : sourceOf(beside(included), seen)
    })
    .filter((text) => text !== "")
    .join("\n")
}

/**
 * What the compiler is left with once this instance's macros have chosen: a change under an `#if` that it does not take leaves its
 * cubin as it is, and so does white space. Without a preprocessor the whole text counts.
 */
const preprocessed = (instance: Instance): string => {
  const defines = Object.entries(instance.defines).map(([name, value]) => `#define ${name} ${value}\n`)
  const text = defines.join("") + sourceOf(`${here}${instance.template}.cu`)
  const architecture = `-D__CUDA_ARCH__=${Number.parseInt(instance.architecture, 10) * 10}`
  const cpp = spawnSync("g++", ["-E", "-P", "-undef", "-nostdinc", architecture, "-x", "c++", "-"], {
    input: text,
    encoding: "utf8"
  })
  return (cpp.status === 0 ? cpp.stdout : text).replaceAll(/\s+/g, "")
}

const commandOf = (instance: Instance, output: string): ReadonlyArray<string> => [
  ...flags,
  `-gencode=arch=compute_${instance.architecture},code=sm_${instance.architecture}`,
  `-I${here}`,
  `${build}${instance.name}.cu`,
  "-o",
  output
]

/** The text that is compiled: the parameters as macros, then the template. A compiler hands NVRTC the same. */
const textOf = (instance: Instance): string =>
  [
    ...Object.entries(instance.defines).map(([name, value]) => `#define ${name} ${value}`),
    `#include "${instance.template}.cu"`,
    ""
  ].join("\n")

const run = (command: string, args: ReadonlyArray<string>): Promise<{ readonly code: number; readonly text: string }> =>
  new Promise((resolve) => {
    const child = spawn(command, args)
    let text = ""
    child.stdout.on("data", (data) => (text += String(data)))
    child.stderr.on("data", (data) => (text += String(data)))
    child.on("error", (error) => resolve({ code: 1, text: String(error) }))
    child.on("close", (code) => resolve({ code: code ?? 1, text }))
  })

const number = (text: string, pattern: RegExp): number => Number(pattern.exec(text)?.[1] ?? 0)

/** Resources of `entry` in ptxas's report; a warning that wgmma was serialised or registers ignored is an error. */
const parseReport = (text: string, entry: string): Resources => {
  const sections = text.split("Compiling entry function").slice(1)
  const section = sections.find((part) => part.includes(`'${entry}'`)) ?? ""
  return {
    registers: number(section, /Used (\d+) registers/),
    spillStores: number(section, /(\d+) bytes spill stores/),
    spillLoads: number(section, /(\d+) bytes spill loads/),
    stack: number(section, /(\d+) bytes stack frame/),
    shared: number(section, /(\d+) bytes smem/)
  }
}

const root = fileURLToPath(new URL("../../", import.meta.url))
const plan: Array<string> | undefined = process.argv.includes("--plan") ? [] : undefined

const compile = async (instance: Instance): Promise<{ readonly resources: Resources; readonly failure?: string }> => {
  const output = `${build}${instance.name}.cubin`
  const args = commandOf(instance, output)
  const key = createHash("sha256")
    .update(preprocessed(instance))
    .update(args.join("\n").replaceAll(root, ""))
    .digest("hex")
  const report = `${output}.txt`
  if (existsSync(report) && existsSync(output)) {
    const [seen, ...rest] = readFileSync(report, "utf8").split("\n")
    if (seen === key) return { resources: parseReport(rest.join("\n"), instance.entry) }
  }
  writeFileSync(`${build}${instance.name}.cu`, textOf(instance))
  if (plan !== undefined) {
    // From the repository's root, whatever its path: a report is its key and what nvcc said.
    const relative = args.map((arg) => (/[ =]/.test(arg) ? `'${arg}'` : arg).replaceAll(root, "")).join(" ")
    const to = `native/build/gpu/${instance.name}.cubin`
    plan.push(
      `nvcc ${relative} >/tmp/${instance.name}.said 2>&1 && { echo ${key}; cat /tmp/${instance.name}.said; } >${to}.txt || { echo FAILED ${instance.name}; head -5 /tmp/${instance.name}.said; }`
    )
    return { resources: parseReport("", "") }
  }
  const { code, text } = await run("nvcc", args)
  const warning = /C7508|C7510|C7514|serialized/.test(text)
  if (code !== 0 || warning) return { resources: parseReport("", ""), failure: text }
  writeFileSync(report, `${key}\n${text}`)
  return { resources: parseReport(text, instance.entry) }
}

/**
 * Bytes that an instance may spill: a few registers around an epilogue, never in the main loop. Attention with heads of 256, whose
 * output takes 128 registers of each thread, spills more of it where a tile begins and ends (docs/kernels/attention-sm90.md).
 */
const mostSpilled = (name: string): number => (/^attention-.*-d256-/.test(name) ? 320 : 64)

const check = (): number => {
  const table: { readonly instances: Record<string, Resources> } = JSON.parse(readFileSync(tablePath, "utf8"))
  const names = new Set(instances.map((instance) => instance.name))
  const problems = [
    ...(names.size === instances.length ? [] : ["two instances have one name"]),
    ...instances.filter((i) => table.instances[i.name] === undefined).map((i) => `${i.name} is not in resources.json`),
    ...Object.keys(table.instances)
      .filter((name) => !names.has(name))
      .map((name) => `${name} is in resources.json and no instance`),
    ...Object.entries(table.instances)
      .filter(([name, r]) => r.spillStores > mostSpilled(name) || r.registers === 0)
      .map(([name, r]) => `${name}: ${r.registers} registers, ${r.spillStores} bytes spilled`)
  ]
  console.log(`${instances.length} instances, ${problems.length} problems`)
  for (const problem of problems) console.log(problem)
  return problems.length === 0 ? 0 : 1
}

const main = async (): Promise<number> => {
  if (process.argv.includes("--check")) return check()
  const version = spawnSync("nvcc", ["--version"], { encoding: "utf8" })
  if (version.status !== 0) {
    console.log("nvcc is not on PATH: the kernel templates were not compiled")
    return 0
  }
  const release = /V(\d+\.\d+\.\d+)/.exec(version.stdout)?.[1] ?? "unknown"
  const at = process.argv.indexOf("--only")
  const only = at < 0 ? undefined : new RegExp(process.argv[at + 1] ?? "")
  const chosen = instances.filter((instance) => only === undefined || only.test(instance.name))
  mkdirSync(build, { recursive: true })
  const results = new Map<string, Resources>()
  const failures: Array<string> = []
  const queue = [...chosen]
  const worker = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const result = await compile(next)
      results.set(next.name, result.resources)
      if (result.failure !== undefined) failures.push(`${next.name}\n${result.failure}`)
      if (result.resources.spillStores > 0) console.log(`${next.name}: ${result.resources.spillStores} bytes spilled`)
    }
  }
  const jobs = process.argv.indexOf("--jobs")
  await Promise.all(Array.from({ length: jobs < 0 ? 2 : Number(process.argv[jobs + 1]) }, worker))
  // What the GPU host can run.
  const lines = instances
    .filter((i) => i.architecture === "90a")
    .map((i) => {
      const words = Object.entries(i.defines).filter(([, value]) => !/\s/.test(String(value)))
      return [i.name, i.template, i.entry, ...words.map(([name, value]) => `${name}=${value}`)].join(" ")
    })
  writeFileSync(`${build}instances.txt`, `${lines.join("\n")}\n`)

  if (plan !== undefined) {
    const script = [
      "xargs -P $(nproc) -I{} bash -c {} <<'PLAN'",
      ...plan.map((line) => JSON.stringify(line)),
      "PLAN",
      ""
    ]
    writeFileSync(`${build}plan.sh`, script.join("\n"))
    console.log(`${plan.length} of ${chosen.length} instances to compile: bash native/build/gpu/plan.sh`)
    return 0
  }
  const table: { readonly nvcc: string; readonly instances: Record<string, Resources> } = existsSync(tablePath)
    ? JSON.parse(readFileSync(tablePath, "utf8"))
    : { nvcc: release, instances: {} }
  const differences = [...results]
    .filter(([name, r]) => JSON.stringify(table.instances[name]) !== JSON.stringify(r))
    .map(([name]) => name)
  console.log(
    `${results.size} instances compiled by nvcc ${release}, ${failures.length} failed, ${differences.length} differ from resources.json`
  )
  for (const failure of failures) console.log(failure)
  if (process.argv.includes("--write")) {
    const kept = Object.fromEntries(
      instances.flatMap((i) => {
        const r = results.get(i.name) ?? table.instances[i.name]
        return r === undefined ? [] : [[i.name, r] as const]
      })
    )
    writeFileSync(tablePath, `${JSON.stringify({ nvcc: release, instances: kept }, null, 2)}\n`)
  } else if (table.nvcc === release) {
    for (const name of differences)
      console.log(`${name}: now ${JSON.stringify(results.get(name))}, table ${JSON.stringify(table.instances[name])}`)
    if (differences.length > 0) return 1
  }
  return failures.length === 0 ? 0 : 1
}

process.exitCode = await main()
