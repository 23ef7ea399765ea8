/**
 * The part of the host's `WebAssembly` that is used here: the compiler's library declares it for browsers only, and a
 * browser's types would bring everything else of a browser along.
 */
export interface Memory {
  readonly buffer: ArrayBuffer | SharedArrayBuffer
  /** Adds pages of 64 KiB; the number before. Throws RangeError above the maximum. */
  readonly grow: (pages: number) => number
}

export interface Global {
  value: number
}

export type Exported = ((...args: ReadonlyArray<number>) => number | undefined) | Memory | Global

export interface Instance {
  readonly exports: Readonly<Record<string, Exported>>
}

/** A compiled module; can be sent to a worker. */
export interface Module {
  readonly [compiled]: true
}
declare const compiled: unique symbol

type Import = Memory | Global | number | ((...args: ReadonlyArray<number>) => number | void)

interface Host {
  readonly Memory: new (descriptor: {
    readonly initial: number
    readonly maximum?: number
    readonly shared?: boolean
  }) => Memory
  readonly Module: new (bytes: Uint8Array) => Module
  readonly Instance: new (module: Module, imports: { readonly env: Readonly<Record<string, Import>> }) => Instance
  readonly Global: new (descriptor: { readonly value: "i32"; readonly mutable: boolean }, value: number) => Global
  readonly validate: (bytes: Uint8Array) => boolean
  readonly compile: (bytes: Uint8Array) => Promise<Module>
  readonly RuntimeError: new (message?: string) => Error
}

declare const WebAssembly: Host

export const host: Host = WebAssembly
