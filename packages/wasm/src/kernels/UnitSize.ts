/**
 * UnitSize: how much of a kernel's work is one unit. Threads meet after each step, so that a step whose last unit is a small
 * one, or whose units are odd in number, keeps one thread waiting; and a unit costs a call.
 */

/** Nanoseconds of work that are worth a unit: some ten times what two threads need to meet. */
const worthUnit = 4_000
/** Enough for some threads to end together. */
const mostUnits = 16

/** Units for work of so many nanoseconds: one, or an even number. */
export const wantedUnits = (nanoseconds: number, most = mostUnits): number => {
  const units = Math.min(most, Math.floor(nanoseconds / worthUnit))
  return units < 2 ? 1 : units - (units % 2)
}

/**
 * The size of a unit, a multiple of `step`, for about so many units of `total`: of the sizes near it the one with which two
 * threads have the least to do, the greatest of equal ones. 300 by 6 for 12: 30, five units each, not 24 with seven and six.
 */
export const unitSize = (total: number, units: number, step = 1): number => {
  const steps = Math.ceil(total / step)
  if (units <= 1 || steps <= 1) return steps * step
  const wanted = Math.ceil(steps / units)
  let [best, least] = [wanted, Infinity]
  for (let size = Math.min(steps, Math.ceil(wanted * 1.5)); size >= Math.max(1, Math.floor(wanted * 0.75)); size--) {
    const busiest = Math.ceil(Math.ceil(steps / size) / 2) * size
    if (busiest < least) [best, least] = [size, busiest]
  }
  return best * step
}
