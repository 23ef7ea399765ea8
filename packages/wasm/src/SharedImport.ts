/**
 * SharedImport: the same module over a shared memory. Modules are kept for a memory of one thread; whether its import is
 * shared is one flag, which is set here for hosts that use threads.
 */
const leb = (bytes: Uint8Array, at: number): readonly [value: number, next: number] => {
  let value = 0
  let shift = 0
  let place = at
  for (;;) {
    const byte = bytes[place++] ?? 0
    value += (byte & 0x7f) * 2 ** shift
    if ((byte & 0x80) === 0) return [value, place]
    shift += 7
  }
}

/** A copy whose first import, the memory, is shared. Throws for a module that imports no memory first. */
export const withSharedMemory = (module: Uint8Array): Uint8Array => {
  let at = 8
  while (at < module.length) {
    const id = module[at]
    const [length, content] = leb(module, at + 1)
    if (id !== 2) {
      at = content + length
      continue
    }
    const [, first] = leb(module, content)
    const [space, name] = leb(module, first)
    const [field, kind] = leb(module, name + space)
    const flags = kind + field + 1
    if (module[kind + field] !== 0x02 || module[flags] !== 0x01) break
    const copy = module.slice()
    copy[flags] = 0x03
    return copy
  }
  throw new Error("the module does not import a memory with a limit first")
}
