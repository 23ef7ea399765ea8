/**
 * The native addon's functions: the driver's, as they are or in numbers, and the compilers' and libraries'; and how what they throw
 * becomes `CudaError`. Handles are numbers; lists of numbers are Float64Arrays. Only `Native` loads it.
 */
import * as Effect from "effect/Effect"
import { CudaError, fromThrown } from "../CudaError.ts"
import type { Driver, Handle, ProductCalls } from "../Driver.ts"
import type { DriverFound, LibraryFound } from "../Native.ts"

/** What the addon does in other words than the driver: labels are the recording device's, shapes and attributes are lists of numbers. */
type Reworded =
  | "kind"
  | "describe"
  | "allocate"
  | "allocateOn"
  | "allocateGuarded"
  | "getFunction"
  | "prepareLaunch"
  | "updateLaunch"
  | "products"

export interface Addon extends Omit<Driver, Reworded> {
  readonly openDriver: (names: ReadonlyArray<string>) => Promise<DriverFound>
  readonly openLibrary: (which: string, names: ReadonlyArray<string>) => Promise<LibraryFound>
  readonly describeDevice: (
    ordinal: number,
    attributes: Float64Array
  ) => { name: string; uuid: string; totalBytes: number; attributes: Array<number> }
  readonly allocate: (context: Handle, bytes: number) => Handle
  readonly allocateOn: (stream: Handle, bytes: number, pool: Handle) => Handle
  readonly allocateGuarded: (context: Handle, bytes: number, atEnd: boolean, alignment: number) => Handle
  readonly getFunction: (
    module: Handle,
    name: string,
    attributes: Float64Array
  ) => { handle: Handle; attributes: Array<number>; parameters: Array<[number, number]> | null }
  readonly prepareLaunch: (
    fn: Handle,
    configuration: Float64Array,
    block: Uint8Array,
    buffers: Float64Array,
    maps: ReadonlyArray<object>
  ) => Handle
  readonly updateLaunch: (launch: Handle, block: Uint8Array, buffers: Float64Array, maps: ReadonlyArray<object>) => void
  readonly prepareProduct: ProductCalls["prepare"]
  readonly submitProduct: ProductCalls["submit"]
  readonly destroyProduct: ProductCalls["destroy"]
  readonly compile: (
    source: string,
    name: string,
    options: ReadonlyArray<string>,
    expressions: ReadonlyArray<string>,
    headerNames: ReadonlyArray<string>,
    headers: ReadonlyArray<string>,
    ptx: boolean
  ) => Promise<{ image: Uint8Array; log: string; lowered: Array<string> }>
  readonly link: (
    options: ReadonlyArray<string>,
    names: ReadonlyArray<string>,
    kinds: Float64Array,
    inputs: ReadonlyArray<Uint8Array>
  ) => Promise<{ image: Uint8Array; log: string }>
}

const entryPoints: ReadonlyArray<keyof Addon> = [
  "openDriver",
  "openLibrary",
  "launch",
  "replay",
  "allocate",
  "settled",
  "prepareProduct",
  "link"
]

/** The addon as this version of the package needs it. */
export const isAddon = (value: unknown): value is Addon =>
  typeof value === "object" &&
  value !== null &&
  entryPoints.every((name) => typeof Reflect.get(value, name) === "function")

/** Throws `CudaError` where the addon threw one of its errors, else what it threw. */
export const rethrow = (thrown: unknown): never => {
  throw fromThrown(thrown) ?? thrown
}

/** A function of the addon that throws `CudaError` in place of the addon's errors. */
export const guarded =
  <A extends ReadonlyArray<unknown>, B>(call: (...parameters: A) => B) =>
  (...parameters: A): B => {
    try {
      return call(...parameters)
    } catch (thrown) {
      return rethrow(thrown)
    }
  }

/** The same for what answers with a promise. */
export const promised = <B>(start: () => Promise<B>): Promise<B> => {
  try {
    return start().catch(rethrow)
  } catch (thrown) {
    return Promise.reject(fromThrown(thrown) ?? thrown)
  }
}

/** The same as an effect. */
export const tryPromise = <B>(start: () => Promise<B>): Effect.Effect<B, CudaError> =>
  Effect.callback<B, CudaError>((resume) => {
    promised(start).then(
      (value) => resume(Effect.succeed(value)),
      (error: unknown) => resume(error instanceof CudaError ? Effect.fail(error) : Effect.die(error))
    )
  })
