/**
 * Instructions of WebAssembly as typed expressions: an expression knows its type and its bytes.
 *
 *   f32x4.add(v128.load(address, 16), acc)  ⇒  … fd 00 04 10 … fd e4 01
 *
 * Source: WebAssembly Core Specification 3.0 (fixed-width SIMD, relaxed SIMD) and the threads proposal.
 */
export type ValueType = "i32" | "i64" | "f32" | "f64" | "v128"

/** Bytes, nested: concatenated once, when the module is written. */
export type Code = ReadonlyArray<number | Code>

export interface Expr<T extends ValueType = ValueType> {
  readonly type: T
  readonly code: Code
}

export type I32 = Expr<"i32">
export type I64 = Expr<"i64">
export type F32 = Expr<"f32">
export type F64 = Expr<"f64">
export type V128 = Expr<"v128">

// ---- numbers --------------------------------------------------------------------------------------------------------

/** LEB128 without sign. */
export const unsigned = (value: number): ReadonlyArray<number> => {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${value} is no unsigned integer`)
  const bytes: Array<number> = []
  let rest = value
  do {
    const low = rest % 128
    rest = Math.floor(rest / 128)
    bytes.push(rest > 0 ? low | 0x80 : low)
  } while (rest > 0)
  return bytes
}

/** LEB128 with sign. */
export const signed = (value: bigint): ReadonlyArray<number> => {
  const bytes: Array<number> = []
  let rest = value
  for (;;) {
    const low = Number(rest & 0x7fn)
    rest >>= 7n
    const done = (rest === 0n && (low & 0x40) === 0) || (rest === -1n && (low & 0x40) !== 0)
    bytes.push(done ? low : low | 0x80)
    if (done) return bytes
  }
}

const bytesOf = (write: (view: DataView) => void, length: number): ReadonlyArray<number> => {
  const bytes = new Uint8Array(length)
  write(new DataView(bytes.buffer))
  return [...bytes]
}

const expr = <T extends ValueType>(type: T, code: Code): Expr<T> => ({ type, code })
const simd = (opcode: number): ReadonlyArray<number> => [0xfd, ...unsigned(opcode)]

const operation =
  <R extends ValueType>(type: R, opcode: ReadonlyArray<number>) =>
  (...operands: ReadonlyArray<Expr>): Expr<R> =>
    expr(type, [...operands.map(({ code }) => code), opcode])

const unary =
  <A extends ValueType, R extends ValueType>(type: R, opcode: ReadonlyArray<number>) =>
  (a: Expr<A>): Expr<R> =>
    operation(type, opcode)(a)
const binary =
  <A extends ValueType, B extends ValueType, R extends ValueType>(type: R, opcode: ReadonlyArray<number>) =>
  (a: Expr<A>, b: Expr<B>): Expr<R> =>
    operation(type, opcode)(a, b)
const ternary =
  <A extends ValueType, C extends ValueType, R extends ValueType>(type: R, opcode: ReadonlyArray<number>) =>
  (a: Expr<A>, b: Expr<A>, c: Expr<C>): Expr<R> =>
    operation(type, opcode)(a, b, c)

/** log2 of the natural alignment and the constant byte offset. */
const memory = (align: number, offset: number): Code => [align, unsigned(offset)]
const loading =
  <R extends ValueType>(type: R, opcode: ReadonlyArray<number>, align: number) =>
  (address: I32, offset = 0): Expr<R> =>
    expr(type, [address.code, opcode, memory(align, offset)])
const storing =
  <A extends ValueType>(opcode: ReadonlyArray<number>, align: number) =>
  (address: I32, value: Expr<A>, offset = 0): Code => [address.code, value.code, opcode, memory(align, offset)]

// ---- scalars --------------------------------------------------------------------------------------------------------

/** Comparisons from an opcode on, arithmetic from another: the specification lists both widths in one order. */
const integers = <T extends "i32" | "i64">(type: T, compare: number, compute: number) => {
  const order = (step: number) => binary<T, T, "i32">("i32", [compare + step])
  const one = (step: number) => unary<T, T>(type, [compute + step])
  const two = (step: number) => binary<T, T, T>(type, [compute + step])
  return {
    eqz: unary<T, "i32">("i32", [compare]),
    eq: order(1),
    ne: order(2),
    lt_s: order(3),
    lt_u: order(4),
    gt_s: order(5),
    gt_u: order(6),
    le_s: order(7),
    le_u: order(8),
    ge_s: order(9),
    ge_u: order(10),
    clz: one(0),
    ctz: one(1),
    popcnt: one(2),
    add: two(3),
    sub: two(4),
    mul: two(5),
    div_s: two(6),
    div_u: two(7),
    rem_s: two(8),
    rem_u: two(9),
    and: two(10),
    or: two(11),
    xor: two(12),
    shl: two(13),
    shr_s: two(14),
    shr_u: two(15),
    rotl: two(16),
    rotr: two(17)
  }
}

const floats = <T extends "f32" | "f64">(type: T, compare: number, compute: number) => {
  const order = (step: number) => binary<T, T, "i32">("i32", [compare + step])
  const one = (step: number) => unary<T, T>(type, [compute + step])
  const two = (step: number) => binary<T, T, T>(type, [compute + step])
  return {
    eq: order(0),
    ne: order(1),
    lt: order(2),
    gt: order(3),
    le: order(4),
    ge: order(5),
    abs: one(0),
    neg: one(1),
    ceil: one(2),
    floor: one(3),
    trunc: one(4),
    nearest: one(5),
    sqrt: one(6),
    add: two(7),
    sub: two(8),
    mul: two(9),
    div: two(10),
    min: two(11),
    max: two(12),
    copysign: two(13)
  }
}

/** What both widths of integers have, and both of floats. */
export type Integers<T extends "i32" | "i64"> = ReturnType<typeof integers<T>>
export type Floats<T extends "f32" | "f64"> = ReturnType<typeof floats<T>>

/** A 32-bit integer; given as unsigned or signed. */
const i32const = (value: number): I32 => expr("i32", [0x41, signed(BigInt(value | 0))])

export const i32 = {
  ...integers("i32", 0x45, 0x67),
  const: i32const,
  load: loading("i32", [0x28], 2),
  load8_s: loading("i32", [0x2c], 0),
  load8_u: loading("i32", [0x2d], 0),
  load16_s: loading("i32", [0x2e], 1),
  load16_u: loading("i32", [0x2f], 1),
  store: storing<"i32">([0x36], 2),
  store8: storing<"i32">([0x3a], 0),
  store16: storing<"i32">([0x3b], 1),
  wrap_i64: unary<"i64", "i32">("i32", [0xa7]),
  trunc_f32_s: unary<"f32", "i32">("i32", [0xa8]),
  trunc_f64_s: unary<"f64", "i32">("i32", [0xaa]),
  reinterpret_f32: unary<"f32", "i32">("i32", [0xbc]),
  extend8_s: unary<"i32", "i32">("i32", [0xc0]),
  extend16_s: unary<"i32", "i32">("i32", [0xc1]),
  trunc_sat_f32_s: unary<"f32", "i32">("i32", [0xfc, 0]),
  trunc_sat_f32_u: unary<"f32", "i32">("i32", [0xfc, 1]),
  trunc_sat_f64_s: unary<"f64", "i32">("i32", [0xfc, 2]),
  trunc_sat_f64_u: unary<"f64", "i32">("i32", [0xfc, 3])
}

export const i64 = {
  ...integers("i64", 0x50, 0x79),
  const: (value: bigint): I64 => expr("i64", [0x42, signed(BigInt.asIntN(64, value))]),
  load: loading("i64", [0x29], 3),
  load8_s: loading("i64", [0x30], 0),
  load8_u: loading("i64", [0x31], 0),
  load16_s: loading("i64", [0x32], 1),
  load16_u: loading("i64", [0x33], 1),
  load32_s: loading("i64", [0x34], 2),
  load32_u: loading("i64", [0x35], 2),
  store: storing<"i64">([0x37], 3),
  store8: storing<"i64">([0x3c], 0),
  store16: storing<"i64">([0x3d], 1),
  store32: storing<"i64">([0x3e], 2),
  extend_i32_s: unary<"i32", "i64">("i64", [0xac]),
  extend_i32_u: unary<"i32", "i64">("i64", [0xad]),
  reinterpret_f64: unary<"f64", "i64">("i64", [0xbd]),
  extend8_s: unary<"i64", "i64">("i64", [0xc2]),
  extend16_s: unary<"i64", "i64">("i64", [0xc3]),
  extend32_s: unary<"i64", "i64">("i64", [0xc4]),
  trunc_sat_f32_s: unary<"f32", "i64">("i64", [0xfc, 4]),
  trunc_sat_f32_u: unary<"f32", "i64">("i64", [0xfc, 5]),
  trunc_sat_f64_s: unary<"f64", "i64">("i64", [0xfc, 6]),
  trunc_sat_f64_u: unary<"f64", "i64">("i64", [0xfc, 7])
}

export const f32 = {
  ...floats("f32", 0x5b, 0x8b),
  const: (value: number): F32 => expr("f32", [0x43, bytesOf((view) => view.setFloat32(0, value, true), 4)]),
  load: loading("f32", [0x2a], 2),
  store: storing<"f32">([0x38], 2),
  convert_i32_s: unary<"i32", "f32">("f32", [0xb2]),
  convert_i32_u: unary<"i32", "f32">("f32", [0xb3]),
  convert_i64_s: unary<"i64", "f32">("f32", [0xb4]),
  convert_i64_u: unary<"i64", "f32">("f32", [0xb5]),
  demote_f64: unary<"f64", "f32">("f32", [0xb6]),
  reinterpret_i32: unary<"i32", "f32">("f32", [0xbe])
}

export const f64 = {
  ...floats("f64", 0x61, 0x99),
  const: (value: number): F64 => expr("f64", [0x44, bytesOf((view) => view.setFloat64(0, value, true), 8)]),
  load: loading("f64", [0x2b], 3),
  store: storing<"f64">([0x39], 3),
  convert_i32_s: unary<"i32", "f64">("f64", [0xb7]),
  convert_i32_u: unary<"i32", "f64">("f64", [0xb8]),
  convert_i64_s: unary<"i64", "f64">("f64", [0xb9]),
  convert_i64_u: unary<"i64", "f64">("f64", [0xba]),
  promote_f32: unary<"f32", "f64">("f64", [0xbb]),
  reinterpret_i64: unary<"i64", "f64">("f64", [0xbf])
}

/** `a` where the condition is not 0, else `b`. */
export const select = <T extends ValueType>(condition: I32, a: Expr<T>, b: Expr<T>): Expr<T> =>
  // `select` without a type takes numbers and vectors alike.
  expr(a.type, [a.code, b.code, condition.code, 0x1b])

// ---- vectors --------------------------------------------------------------------------------------------------------

const vu = (opcode: number) => unary<"v128", "v128">("v128", simd(opcode))
const vb = (opcode: number) => binary<"v128", "v128", "v128">("v128", simd(opcode))
const vt = (opcode: number) => ternary<"v128", "v128", "v128">("v128", simd(opcode))
const shift = (opcode: number) => binary<"v128", "i32", "v128">("v128", simd(opcode))
const test = (opcode: number) => unary<"v128", "i32">("i32", simd(opcode))
const splat = <A extends ValueType>(opcode: number) => unary<A, "v128">("v128", simd(opcode))
const extract =
  <R extends ValueType>(type: R, opcode: number) =>
  (vector: V128, lane: number): Expr<R> =>
    expr(type, [vector.code, simd(opcode), lane])
const replace =
  <A extends ValueType>(opcode: number) =>
  (vector: V128, lane: number, value: Expr<A>): V128 =>
    expr("v128", [vector.code, value.code, simd(opcode), lane])
const loadLane =
  (opcode: number, align: number) =>
  (address: I32, vector: V128, lane: number, offset = 0): V128 =>
    expr("v128", [address.code, vector.code, simd(opcode), memory(align, offset), lane])
const storeLane =
  (opcode: number, align: number) =>
  (address: I32, vector: V128, lane: number, offset = 0): Code => [
    address.code,
    vector.code,
    simd(opcode),
    memory(align, offset),
    lane
  ]

const sixteen = (bytes: ReadonlyArray<number>): ReadonlyArray<number> => {
  if (bytes.length !== 16) throw new RangeError(`a vector has 16 bytes, ${bytes.length} were given`)
  return bytes
}

export const v128 = {
  load: loading("v128", simd(0), 4),
  load8x8_s: loading("v128", simd(1), 3),
  load8x8_u: loading("v128", simd(2), 3),
  load16x4_s: loading("v128", simd(3), 3),
  load16x4_u: loading("v128", simd(4), 3),
  load32x2_s: loading("v128", simd(5), 3),
  load32x2_u: loading("v128", simd(6), 3),
  load8_splat: loading("v128", simd(7), 0),
  load16_splat: loading("v128", simd(8), 1),
  load32_splat: loading("v128", simd(9), 2),
  load64_splat: loading("v128", simd(10), 3),
  load32_zero: loading("v128", simd(92), 2),
  load64_zero: loading("v128", simd(93), 3),
  store: storing<"v128">(simd(11), 4),
  load8_lane: loadLane(84, 0),
  load16_lane: loadLane(85, 1),
  load32_lane: loadLane(86, 2),
  load64_lane: loadLane(87, 3),
  store8_lane: storeLane(88, 0),
  store16_lane: storeLane(89, 1),
  store32_lane: storeLane(90, 2),
  store64_lane: storeLane(91, 3),
  const: (bytes: ReadonlyArray<number>): V128 => expr("v128", [simd(12), sixteen(bytes)]),
  not: vu(77),
  and: vb(78),
  andnot: vb(79),
  or: vb(80),
  xor: vb(81),
  /** Bits of `a` where the mask is 1, of `b` where it is 0. */
  bitselect: vt(82),
  any_true: test(83)
}

/** Lanes of both vectors by number: 0 … 15 of `a`, 16 … 31 of `b`. */
export const shuffle = (a: V128, b: V128, lanes: ReadonlyArray<number>): V128 =>
  expr("v128", [a.code, b.code, simd(13), sixteen(lanes)])

export const i8x16 = {
  swizzle: vb(14),
  relaxed_swizzle: vb(256),
  splat: splat<"i32">(15),
  extract_lane_s: extract("i32", 21),
  extract_lane_u: extract("i32", 22),
  replace_lane: replace<"i32">(23),
  eq: vb(35),
  ne: vb(36),
  lt_s: vb(37),
  lt_u: vb(38),
  gt_s: vb(39),
  gt_u: vb(40),
  le_s: vb(41),
  le_u: vb(42),
  ge_s: vb(43),
  ge_u: vb(44),
  abs: vu(96),
  neg: vu(97),
  popcnt: vu(98),
  all_true: test(99),
  bitmask: test(100),
  narrow_i16x8_s: vb(101),
  narrow_i16x8_u: vb(102),
  shl: shift(107),
  shr_s: shift(108),
  shr_u: shift(109),
  add: vb(110),
  add_sat_s: vb(111),
  add_sat_u: vb(112),
  sub: vb(113),
  sub_sat_s: vb(114),
  sub_sat_u: vb(115),
  min_s: vb(118),
  min_u: vb(119),
  max_s: vb(120),
  max_u: vb(121),
  avgr_u: vb(123),
  relaxed_laneselect: vt(265)
}

export const i16x8 = {
  splat: splat<"i32">(16),
  extract_lane_s: extract("i32", 24),
  extract_lane_u: extract("i32", 25),
  replace_lane: replace<"i32">(26),
  eq: vb(45),
  ne: vb(46),
  lt_s: vb(47),
  lt_u: vb(48),
  gt_s: vb(49),
  gt_u: vb(50),
  le_s: vb(51),
  le_u: vb(52),
  ge_s: vb(53),
  ge_u: vb(54),
  extadd_pairwise_i8x16_s: vu(124),
  extadd_pairwise_i8x16_u: vu(125),
  abs: vu(128),
  neg: vu(129),
  q15mulr_sat_s: vb(130),
  all_true: test(131),
  bitmask: test(132),
  narrow_i32x4_s: vb(133),
  narrow_i32x4_u: vb(134),
  extend_low_i8x16_s: vu(135),
  extend_high_i8x16_s: vu(136),
  extend_low_i8x16_u: vu(137),
  extend_high_i8x16_u: vu(138),
  shl: shift(139),
  shr_s: shift(140),
  shr_u: shift(141),
  add: vb(142),
  add_sat_s: vb(143),
  add_sat_u: vb(144),
  sub: vb(145),
  sub_sat_s: vb(146),
  sub_sat_u: vb(147),
  mul: vb(149),
  min_s: vb(150),
  min_u: vb(151),
  max_s: vb(152),
  max_u: vb(153),
  avgr_u: vb(155),
  extmul_low_i8x16_s: vb(156),
  extmul_high_i8x16_s: vb(157),
  extmul_low_i8x16_u: vb(158),
  extmul_high_i8x16_u: vb(159),
  /** Sums of two products of bytes; the second operand must be in 0 … 127. */
  relaxed_dot_i8x16_i7x16_s: vb(274)
}

export const i32x4 = {
  splat: splat<"i32">(17),
  extract_lane: extract("i32", 27),
  replace_lane: replace<"i32">(28),
  eq: vb(55),
  ne: vb(56),
  lt_s: vb(57),
  lt_u: vb(58),
  gt_s: vb(59),
  gt_u: vb(60),
  le_s: vb(61),
  le_u: vb(62),
  ge_s: vb(63),
  ge_u: vb(64),
  extadd_pairwise_i16x8_s: vu(126),
  extadd_pairwise_i16x8_u: vu(127),
  abs: vu(160),
  neg: vu(161),
  all_true: test(163),
  bitmask: test(164),
  extend_low_i16x8_s: vu(167),
  extend_high_i16x8_s: vu(168),
  extend_low_i16x8_u: vu(169),
  extend_high_i16x8_u: vu(170),
  shl: shift(171),
  shr_s: shift(172),
  shr_u: shift(173),
  add: vb(174),
  sub: vb(177),
  mul: vb(181),
  min_s: vb(182),
  min_u: vb(183),
  max_s: vb(184),
  max_u: vb(185),
  dot_i16x8_s: vb(186),
  extmul_low_i16x8_s: vb(188),
  extmul_high_i16x8_s: vb(189),
  extmul_low_i16x8_u: vb(190),
  extmul_high_i16x8_u: vb(191),
  trunc_sat_f32x4_s: vu(248),
  trunc_sat_f32x4_u: vu(249),
  trunc_sat_f64x2_s_zero: vu(252),
  trunc_sat_f64x2_u_zero: vu(253),
  relaxed_trunc_f32x4_s: vu(257),
  relaxed_trunc_f32x4_u: vu(258),
  relaxed_laneselect: vt(267),
  /** Sums of four products of bytes, added to the third operand; the second operand must be in 0 … 127. */
  relaxed_dot_i8x16_i7x16_add_s: vt(275)
}

export const i64x2 = {
  splat: splat<"i64">(18),
  extract_lane: extract("i64", 29),
  replace_lane: replace<"i64">(30),
  abs: vu(192),
  neg: vu(193),
  all_true: test(195),
  bitmask: test(196),
  extend_low_i32x4_s: vu(199),
  extend_high_i32x4_s: vu(200),
  extend_low_i32x4_u: vu(201),
  extend_high_i32x4_u: vu(202),
  shl: shift(203),
  shr_s: shift(204),
  shr_u: shift(205),
  add: vb(206),
  sub: vb(209),
  mul: vb(213),
  eq: vb(214),
  ne: vb(215),
  lt_s: vb(216),
  gt_s: vb(217),
  le_s: vb(218),
  ge_s: vb(219),
  extmul_low_i32x4_s: vb(220),
  extmul_high_i32x4_s: vb(221),
  extmul_low_i32x4_u: vb(222),
  extmul_high_i32x4_u: vb(223)
}

export const f32x4 = {
  splat: splat<"f32">(19),
  extract_lane: extract("f32", 31),
  replace_lane: replace<"f32">(32),
  eq: vb(65),
  ne: vb(66),
  lt: vb(67),
  gt: vb(68),
  le: vb(69),
  ge: vb(70),
  demote_f64x2_zero: vu(94),
  ceil: vu(103),
  floor: vu(104),
  trunc: vu(105),
  nearest: vu(106),
  abs: vu(224),
  neg: vu(225),
  sqrt: vu(227),
  add: vb(228),
  sub: vb(229),
  mul: vb(230),
  div: vb(231),
  min: vb(232),
  max: vb(233),
  pmin: vb(234),
  pmax: vb(235),
  convert_i32x4_s: vu(250),
  convert_i32x4_u: vu(251),
  /** a · b + c, rounded once or twice as the host likes. */
  relaxed_madd: vt(261),
  /** −(a · b) + c. */
  relaxed_nmadd: vt(262),
  relaxed_min: vb(269),
  relaxed_max: vb(270)
}

export const f64x2 = {
  splat: splat<"f64">(20),
  extract_lane: extract("f64", 33),
  replace_lane: replace<"f64">(34),
  eq: vb(71),
  ne: vb(72),
  lt: vb(73),
  gt: vb(74),
  le: vb(75),
  ge: vb(76),
  promote_low_f32x4: vu(95),
  ceil: vu(116),
  floor: vu(117),
  trunc: vu(122),
  nearest: vu(148),
  abs: vu(236),
  neg: vu(237),
  sqrt: vu(239),
  add: vb(240),
  sub: vb(241),
  mul: vb(242),
  div: vb(243),
  min: vb(244),
  max: vb(245),
  pmin: vb(246),
  pmax: vb(247),
  convert_low_i32x4_s: vu(254),
  convert_low_i32x4_u: vu(255),
  relaxed_madd: vt(263),
  relaxed_nmadd: vt(264)
}

// ---- bulk memory and threads ----------------------------------------------------------------------------------------

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
