/** Instructions of WebAssembly on vectors of 128 bits: fixed-width and relaxed SIMD. */
import type { Code, Expr, I32, V128, ValueType } from "./Encoding.ts"
import { binary, expr, loading, memory, simd, storing, ternary, unary } from "./Encoding.ts"

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
