import * as NodePaths from "anneal/NodePaths"
import { expect, it } from "@effect/vitest"

it("leaves out what all paths begin with, whole folders of it", () => {
  const nodes = ["model/layer_1/conv + model/layer_1/bias", "model/layer_12/relu", "%internal"]
  const begin = NodePaths.commonBegin(nodes)
  expect(begin).toBe("")
  const deep = nodes.map((node) => node.replaceAll("model/", "graph/model/"))
  expect(NodePaths.commonBegin(deep)).toBe("graph/model/")
  expect(deep.map((node) => NodePaths.short(node, "graph/model/"))).toEqual([
    "layer_1/conv + layer_1/bias",
    "layer_12/relu",
    "%internal"
  ])
})

it("names two of many sources", () => {
  expect(NodePaths.short("a + b + c", "")).toBe("a + b + c")
  expect(NodePaths.short("a + b + c + d", "")).toBe("a + b + 2 more")
})
