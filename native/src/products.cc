// cuBLASLt's products: prepared once for a problem, with every algorithm that its heuristics name, then submitted like a launch.
//   D[b, m, n] = act(sum over k of A[b, m, k] * B[b, n, k] + bias[n])
#include "addon.h"
#include "cublaslt_abi.h"

struct CublasLt {
#define X(name, symbol, arguments) lt::Status(*name) arguments = nullptr;
  ANNEAL_CUBLASLT_FUNCTIONS(X)
#undef X

  static std::shared_ptr<CublasLt> resolve(const Library& library, const char* doing) {
    auto functions = std::make_shared<CublasLt>();
#define X(name, symbolName, arguments)                                                                        \
  functions->name = reinterpret_cast<lt::Status(*) arguments>(library.symbol(symbolName));                    \
  if (functions->name == nullptr) throw Failure(symbolMissing, doing, library.path + " has no " + symbolName);
    ANNEAL_CUBLASLT_FUNCTIONS(X)
#undef X
    return functions;
  }
};

namespace {
void check(lt::Status status, const char* call, const char* doing) {
  if (status == 0) return;
  const char* name = status == 1    ? "CUBLAS_STATUS_NOT_INITIALIZED"
                     : status == 3  ? "CUBLAS_STATUS_ALLOC_FAILED"
                     : status == 7  ? "CUBLAS_STATUS_INVALID_VALUE"
                     : status == 8  ? "CUBLAS_STATUS_ARCH_MISMATCH"
                     : status == 13 ? "CUBLAS_STATUS_EXECUTION_FAILED"
                     : status == 15 ? "CUBLAS_STATUS_NOT_SUPPORTED"
                                    : "CUBLAS_STATUS_INTERNAL_ERROR";
  Failure failure(name, doing, "cuBLASLt answered " + std::to_string(status));
  failure.call = call;
  failure.result = status;
  throw failure;
}
std::size_t elementBytes(int type) {
  switch (type) {
    case lt::f32: case lt::s32: return 4;
    case lt::f16: case lt::bf16: return 2;
    default: return 1;
  }
}
}  // namespace

struct ProductObject : Object {
  static constexpr Kind tag = Kind::Product;
  std::shared_ptr<CublasLt> functions;
  lt::Handle handle = nullptr;
  lt::Description description = nullptr;
  lt::Layout a = nullptr, b = nullptr, d = nullptr;
  std::vector<lt::Heuristic> algorithms;
  std::size_t aBytes = 0, bBytes = 0, dBytes = 0, biasBytes = 0;
  bool integer = false;
  ProductObject() : Object(tag) {}
  ~ProductObject() override {
    if (d != nullptr) functions->layoutDestroy(d);
    if (b != nullptr) functions->layoutDestroy(b);
    if (a != nullptr) functions->layoutDestroy(a);
    if (description != nullptr) functions->descriptionDestroy(description);
    if (handle != nullptr) functions->destroy(handle);
  }
};

// context, [input type, output type, m, n, k, batch, row strides of A, B, D, epilogue, fast, most workspace bytes] ⇒
// { handle, workspaceBytes: one number an algorithm }
Napi::Value Instance::prepareProduct(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "prepare a product of cuBLASLt");
  const char* doing = arguments.doing();
  auto& context = table_.get<ContextObject>(arguments.integer(0, "context"), doing);
  const auto numbers = arguments.numbers(1, "product");
  if (numbers.size() != 12) arguments.refuse("a product has twelve numbers");
  std::array<std::uint64_t, 12> p{};
  for (std::size_t i = 0; i < p.size(); i++) p[i] = toInteger(numbers[i], "a product's number", doing);
  const auto [input, output, m, n, k, batch, strideA, strideB, strideD, epilogue, fast, workspace] = p;
  if (m == 0 || n == 0 || k == 0 || batch == 0 || strideA < k || strideB < k || strideD < n)
    arguments.refuse("sizes must be at least 1, and rows at least as far apart as they are long");
  const auto library = libraries_.find("cublasLt");
  if (library == libraries_.end() || library->second->handle == nullptr)
    throw Failure(libraryMissing, doing, "cuBLASLt has not been opened");
  enter(context, doing);

  auto object = std::make_unique<ProductObject>();
  object->context = object->parent = context.id;
  object->functions = CublasLt::resolve(*library->second, doing);
  const CublasLt& call = *object->functions;
  check(call.create(&object->handle), "cublasLtCreate", doing);
  object->integer = input == lt::s8;
  const int compute = object->integer ? lt::computeS32 : input == lt::f32 ? lt::computeTf32 : lt::computeF32;
  check(call.descriptionCreate(&object->description, compute, object->integer ? lt::s32 : lt::f32), "cublasLtMatmulDescCreate", doing);
  auto describe = [&](int attribute, const auto& value) {
    check(call.descriptionSet(object->description, attribute, &value, sizeof value), "cublasLtMatmulDescSetAttribute", doing);
  };
  describe(lt::transposeA, std::int32_t(lt::transposed));
  describe(lt::transposeB, std::int32_t(lt::asStored));
  describe(lt::epilogue, std::int32_t(epilogue));
  if (input == lt::e4m3 || input == lt::e5m2) describe(lt::fastAccumulation, std::int8_t(fast));
  // Rows of ours are columns of cuBLASLt's: D transposed is B times A transposed, so its first operand is our B.
  auto layout = [&](lt::Layout& to, std::uint64_t type, std::uint64_t rows, std::uint64_t columns, std::uint64_t stride) {
    check(call.layoutCreate(&to, int(type), rows, columns, std::int64_t(stride)), "cublasLtMatrixLayoutCreate", doing);
    const std::int32_t count = std::int32_t(batch);
    const std::int64_t apart = std::int64_t(columns * stride);
    check(call.layoutSet(to, lt::batchCount, &count, sizeof count), "cublasLtMatrixLayoutSetAttribute", doing);
    check(call.layoutSet(to, lt::batchOffset, &apart, sizeof apart), "cublasLtMatrixLayoutSetAttribute", doing);
    return ((batch * columns - 1) * stride + rows) * elementBytes(int(type));
  };
  object->bBytes = layout(object->a, input, k, n, strideB);
  object->aBytes = layout(object->b, input, k, m, strideA);
  object->dBytes = layout(object->d, output, n, m, strideD);
  object->biasBytes = epilogue == lt::plain ? 0 : n * elementBytes(int(output));

  lt::Preference preference = nullptr;
  check(call.preferenceCreate(&preference), "cublasLtMatmulPreferenceCreate", doing);
  const std::size_t most = workspace;
  call.preferenceSet(preference, lt::mostWorkspace, &most, sizeof most);
  object->algorithms.resize(64);
  int found = 0;
  const lt::Status status = call.heuristics(object->handle, object->description, object->a, object->b, object->d, object->d, preference,
                                            int(object->algorithms.size()), object->algorithms.data(), &found);
  call.preferenceDestroy(preference);
  check(status, "cublasLtMatmulAlgoGetHeuristic", doing);
  object->algorithms.resize(std::size_t(found));
  auto sizes = Napi::Array::New(info.Env());
  for (std::size_t i = 0; i < object->algorithms.size(); i++) sizes.Set(std::uint32_t(i), double(object->algorithms[i].workspaceBytes));
  auto result = Napi::Object::New(info.Env());
  result.Set("workspaceBytes", sizes);
  result.Set("handle", double(table_.insert(std::move(object))));
  return result;
}

// product, algorithm, stream, [buffer and byte offset of A, B, D, bias, workspace]
Napi::Value Instance::submitProduct(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "submit a product of cuBLASLt");
  const char* doing = arguments.doing();
  auto& product = table_.get<ProductObject>(arguments.integer(0, "product"), doing);
  const std::uint64_t index = arguments.integer(1, "algorithm");
  auto& target = stream(arguments.integer(2, "stream"), doing);
  const auto places = arguments.numbers(3, "buffers");
  if (places.size() != 10) arguments.refuse("a product has five buffers");
  if (index >= product.algorithms.size())
    throw Failure(outOfRange, doing, "algorithm " + std::to_string(index) + " of " + std::to_string(product.algorithms.size()));
  sameDevice(product, target, doing);
  const lt::Heuristic& algorithm = product.algorithms[index];
  std::vector<MemoryObject*> used;
  auto pointer = [&](std::size_t which, std::uint64_t bytes) -> void* {
    if (bytes == 0) return nullptr;
    const auto offset = toInteger(places[which * 2 + 1], "a buffer's offset", doing);
    auto& memory = range(toInteger(places[which * 2], "a buffer", doing), offset, bytes, doing);
    sameDevice(memory, target, doing);
    used.push_back(&memory);
    return reinterpret_cast<void*>(memory.address + offset);
  };
  void* const a = pointer(0, product.aBytes);
  void* const b = pointer(1, product.bBytes);
  void* const d = pointer(2, product.dBytes);
  void* const bias = pointer(3, product.biasBytes);
  void* const workspace = pointer(4, algorithm.workspaceBytes);
  enter(target, doing);
  const CublasLt& call = *product.functions;
  if (bias != nullptr)
    check(call.descriptionSet(product.description, lt::biasPointer, &bias, sizeof bias), "cublasLtMatmulDescSetAttribute", doing);
  const float one = 1.0f, zero = 0.0f;
  const std::int32_t oneWhole = 1, zeroWhole = 0;
  const void* const alpha = product.integer ? static_cast<const void*>(&oneWhole) : &one;
  const void* const beta = product.integer ? static_cast<const void*>(&zeroWhole) : &zero;
  check(call.multiply(product.handle, product.description, alpha, b, product.a, a, product.b, beta, d, product.d, d, product.d,
                      &algorithm.algorithm, workspace, algorithm.workspaceBytes, target.handle),
        "cublasLtMatmul", doing);
  submitted(target);
  if (target.capture == nullptr) use(target, product);
  for (MemoryObject* memory : used) {
    if (target.capture != nullptr) target.capture->others.push_back(memory->id);
    else use(target, *memory);
  }
  return info.Env().Undefined();
}

Napi::Value Instance::destroyProduct(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "release a product of cuBLASLt");
  auto& product = table_.get<ProductObject>(arguments.integer(0, "product"), arguments.doing());
  enter(product, arguments.doing());
  const auto owned = table_.remove(product, arguments.doing());
  return info.Env().Undefined();
}
