/**
 * NodePaths: nodes by short names. Paths of one model begin alike, and a node that was made of many has many sources.
 *
 *   net/block_1/conv, net/block_1/relu, net/block_2/conv   ⇒   net/: block_1/conv, block_1/relu, block_2/conv
 *   a + b + c + d + e                                       ⇒   a + b + 3 more
 */

/** Sources of one node that are named. */
const most = 2

/** A shorter begin is not worth a line that says it. */
const worthLeaving = 8

const joint = " + "

/** What all paths begin with, up to a slash; values of the graph (`%x`) have no path. */
export const commonBegin = (nodes: Iterable<string>): string => {
  let common: string | undefined
  for (const node of nodes)
    for (const path of node.split(joint)) {
      if (path.startsWith("%")) continue
      const folder = path.slice(0, path.lastIndexOf("/") + 1)
      if (common === undefined) common = folder
      while (!folder.startsWith(common)) common = common.slice(0, common.lastIndexOf("/", common.length - 2) + 1)
    }
  return common === undefined || common.length < worthLeaving ? "" : common
}

/** Without what all begin with, and without most of many sources. */
export const short = (node: string, begin: string): string => {
  const paths = node.split(joint).map((path) => (path.startsWith(begin) ? path.slice(begin.length) : path))
  const more = paths.length - most
  return more > 1 ? `${paths.slice(0, most).join(joint)} + ${more} more` : paths.join(joint)
}
