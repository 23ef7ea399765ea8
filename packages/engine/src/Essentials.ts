/**
 * Essentials: the part of a manifest that an engine is run by, read by hand. A schema says what is wrong with a manifest;
 * it also takes most of the time of opening an engine, so it is asked only where something is wrong.
 */
import * as DTypes from "@anneal/ir/DType"
import type { Manifest, Port, Profile, Section, Variant } from "./Manifest.ts"

type Fields = Readonly<Record<string, unknown>>

const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value)
const isText = (value: unknown): value is string => typeof value === "string"
const isCount = (value: unknown): value is number => Number.isSafeInteger(value)
const isList = <A>(value: unknown, isItem: (item: unknown) => item is A): value is ReadonlyArray<A> =>
  Array.isArray(value) && value.every(isItem)
/** No key that the schema does not know. */
const hasOnly = (value: Fields, known: ReadonlyArray<string>): boolean =>
  Object.keys(value).every((key) => known.includes(key))

const isPort = (value: unknown): value is Port =>
  isFields(value) && isText(value["name"]) && DTypes.is(value["dtype"]) && isList(value["shape"], isText)

const isRange = (value: unknown): boolean =>
  isFields(value) && isCount(value["min"]) && isCount(value["opt"]) && (value["max"] === null || isCount(value["max"]))

const isProfile = (value: unknown): value is Profile =>
  isFields(value) &&
  isText(value["name"]) &&
  isFields(value["dims"]) &&
  Object.values(value["dims"]).every((range) => isRange(range))

const isConstraint = (value: unknown): value is Variant["constraints"][number] =>
  isFields(value) && isText(value["left"]) && isText(value["right"]) && isText(value["what"])

const isVariant = (value: unknown): value is Variant =>
  isFields(value) &&
  isText(value["name"]) &&
  isText(value["target"]) &&
  isList(value["features"], isText) &&
  isText(value["graph"]) &&
  isText(value["digest"]) &&
  isCount(value["nodes"]) &&
  isList(value["profiles"], isProfile) &&
  isList(value["payload"], isText) &&
  isList(value["constraints"], isConstraint)

const kinds: ReadonlyArray<unknown> = ["graph", "constant", "program", "report", "module", "packed"]

const isOrigin = (value: unknown): boolean => isFields(value) && isText(value["constant"]) && isText(value["layout"])

const isSection = (value: unknown): value is Section =>
  isFields(value) &&
  isText(value["name"]) &&
  kinds.includes(value["kind"]) &&
  isText(value["sha256"]) &&
  isCount(value["bytes"]) &&
  (value["origin"] === undefined || isOrigin(value["origin"])) &&
  (value["stripped"] === undefined || typeof value["stripped"] === "boolean") &&
  hasOnly(value, ["name", "kind", "sha256", "bytes", "origin", "stripped"])

const isAlias = (value: unknown): value is Manifest["aliases"][number] =>
  isFields(value) && isText(value["input"]) && isText(value["output"])

export type Essentials = Pick<Manifest, "format" | "inputs" | "outputs" | "aliases" | "variants" | "sections">

/** Undefined: something of it is not as it should be, or anything of the rest is missing. */
export const read = (json: unknown): Essentials | undefined => {
  if (!isFields(json)) return undefined
  const { aliases, format, inputs, outputs, sections, variants } = json
  const rest = [
    "generator",
    "model",
    "stages",
    "decisions",
    "precision",
    "calibration",
    "accuracy",
    "refits",
    "weights"
  ]
  return isCount(format) &&
    isList(inputs, isPort) &&
    isList(outputs, isPort) &&
    isList(aliases, isAlias) &&
    isList(variants, isVariant) &&
    isList(sections, isSection) &&
    rest.every((key) => json[key] !== undefined)
    ? { aliases, format, inputs, outputs, sections, variants }
    : undefined
}
