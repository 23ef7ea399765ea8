// Puts processes on one core. Two virtual cores are seldom equally fast: the other thread of a physical core may belong to a
// neighbour of the host, and the system leaves a process where it is for as long as it lives. Two processes on two cores
// then measure the cores: INT8 against float was 1.20 and 1.54 in two runs, and 1.4 to 1.5 on either core.
import { spawnSync } from "node:child_process"
import { cpus } from "node:os"

/** Lets a process run on the core of a turn alone: each core in its turn. False where the system has no `taskset`, or refuses. */
export const pin = (process: number, turn: number): boolean => {
  const core = String(turn % cpus().length)
  const options = ["--all-tasks", "--cpu-list", "--pid", core, String(process)]
  return spawnSync("taskset", options, { stdio: "ignore" }).status === 0
}
