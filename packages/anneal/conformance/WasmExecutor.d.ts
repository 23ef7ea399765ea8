import { type OracleService } from "@anneal/pipeline/Oracle"
declare const oracle: OracleService
export default oracle
export declare const summary: () => string
//# sourceMappingURL=WasmExecutor.d.ts.map
