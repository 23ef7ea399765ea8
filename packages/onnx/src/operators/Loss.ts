// NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss: scores [n, classes, …], labels [n, …].
//
// −Σ w[label] · x[label] / Σ w[label] for the mean; labels equal to `ignore_index` weigh nothing.
import type { Value } from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { Context, Operator } from "../Operator.ts"

/** The loss of logarithms of probabilities; labels and weights are the node's inputs 1 and 2. */
const negativeLogLikelihood = (c: Context, x: Value): Value => {
  const { e } = c
  const [batch = 1, , ...spatial] = x.type.shape
  const one = [batch, 1, ...spatial]
  const given = e.reshape(e.cast(c.input(1), "i64"), one)
  const counted = c.attribute.has("ignore_index")
    ? e.unary(Ops.not, e.binary(Ops.equal, given, e.number(given, c.attribute.int("ignore_index"))))
    : undefined
  const labels = counted === undefined ? given : e.select(counted, given, e.number(given, 0))
  const kept = (values: Value): Value => (counted === undefined ? values : e.select(counted, values, e.number(x, 0)))
  const picked = kept(e.neg(e.b.one(Ops.gatherElements, [x, labels], { axis: 1 })))
  const classWeights = c.optional(2)
  const weights =
    classWeights !== undefined
      ? kept(e.gather(classWeights, labels, 0))
      : counted === undefined
        ? undefined
        : e.cast(counted, x.type.dtype)
  const losses = weights === undefined ? picked : e.mul(picked, weights)
  const reduction = c.attribute.string("reduction", "mean")
  const axes = one.map((_, axis) => axis)
  switch (reduction) {
    case "none":
      return e.reshape(losses, [batch, ...spatial])
    case "sum":
      return e.sum(losses, axes, false)
    case "mean":
      return weights === undefined
        ? e.mean(losses, axes, false)
        : e.div(e.sum(losses, axes, false), e.sum(weights, axes, false))
    default:
      return c.fail(`reduction "${reduction}" is not known`)
  }
}

export const negativeLogLikelihoodLoss: Operator = {
  name: "NegativeLogLikelihoodLoss",
  since: [12, 13],
  translate: (c) => negativeLogLikelihood(c, c.input(0))
}

/** The second result is the logarithm of the softmax. */
export const softmaxCrossEntropyLoss: Operator = {
  name: "SoftmaxCrossEntropyLoss",
  since: [12, 13],
  translate: (c) => {
    const logarithms = c.e.b.one(Ops.logSoftmax, [c.input(0)], { axis: 1 })
    return [negativeLogLikelihood(c, logarithms), logarithms]
  }
}

export const all: ReadonlyArray<Operator> = [negativeLogLikelihoodLoss, softmaxCrossEntropyLoss]
