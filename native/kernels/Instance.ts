/** What an instance of a template is: a name, a template, an architecture and the template's macros. */

/** One compiled kernel: `defines` are the template's macros, `architecture` is nvcc's (`90a`, `80`). */
export interface Instance {
  readonly name: string
  readonly template: string
  readonly entry: string
  readonly architecture: string
  readonly defines: Readonly<Record<string, string | number>>
}
