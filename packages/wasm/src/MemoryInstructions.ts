/** Instructions of WebAssembly on ranges of memory, and on words that threads share. */
import type { Code, I32, I64 } from "./Encoding.ts"
import { expr, memory, unsigned } from "./Encoding.ts"

export const memoryCopy = (to: I32, from: I32, bytes: I32): Code => [
  to.code,
  from.code,
  bytes.code,
  0xfc,
  ...unsigned(10),
  0,
  0
]
export const memoryFill = (to: I32, byte: I32, bytes: I32): Code => [
  to.code,
  byte.code,
  bytes.code,
  0xfc,
  ...unsigned(11),
  0
]

export const atomic = {
  /** Wakes up to `count` waiters; how many were woken. */
  notify: (address: I32, count: I32, offset = 0): I32 =>
    expr("i32", [address.code, count.code, 0xfe, 0x00, memory(2, offset)]),
  /** Waits while the word is `expected`, at most so many nanoseconds (negative: for ever). 0 woken, 1 not equal, 2 time over. */
  wait32: (address: I32, expected: I32, timeout: I64, offset = 0): I32 =>
    expr("i32", [address.code, expected.code, timeout.code, 0xfe, 0x01, memory(2, offset)]),
  load: (address: I32, offset = 0): I32 => expr("i32", [address.code, 0xfe, 0x10, memory(2, offset)]),
  store: (address: I32, value: I32, offset = 0): Code => [address.code, value.code, 0xfe, 0x17, memory(2, offset)],
  /** Adds; what was there before. */
  add: (address: I32, value: I32, offset = 0): I32 =>
    expr("i32", [address.code, value.code, 0xfe, 0x1e, memory(2, offset)]),
  exchange: (address: I32, value: I32, offset = 0): I32 =>
    expr("i32", [address.code, value.code, 0xfe, 0x41, memory(2, offset)]),
  compareExchange: (address: I32, expected: I32, value: I32, offset = 0): I32 =>
    expr("i32", [address.code, expected.code, value.code, 0xfe, 0x48, memory(2, offset)])
}
