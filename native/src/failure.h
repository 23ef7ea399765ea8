// What goes wrong, as one C++ exception that becomes one JavaScript Error with the properties
// `code`, `call`, `doing`, `description`, `result` and, for compilers, `log`.
// Example: code CUDA_ERROR_OUT_OF_MEMORY, call cuMemAlloc_v2, doing "allocate 1073741824 bytes".
#pragma once

#include <exception>
#include <string>
#include <utility>

struct Failure : std::exception {
  std::string code;         // CUDA_ERROR_…, NVRTC_ERROR_…, NVJITLINK_ERROR_… or ANNEAL_…
  std::string call;         // the entry point that reported it, or empty
  std::string doing;        // what the caller wanted, with its figures
  std::string description;  // the library's or our own sentence
  int result = 0;           // the library's number, 0 for our own
  std::string log;          // a compiler's messages

  Failure(std::string code, std::string doing, std::string description)
      : code(std::move(code)), doing(std::move(doing)), description(std::move(description)) {}

  const char* what() const noexcept override { return description.c_str(); }
};

// Our own refusals: the call never reached the driver.
inline constexpr const char* staleHandle = "ANNEAL_STALE_HANDLE";
inline constexpr const char* wrongKind = "ANNEAL_WRONG_KIND";
inline constexpr const char* wrongDevice = "ANNEAL_WRONG_DEVICE";
inline constexpr const char* busy = "ANNEAL_BUSY";
inline constexpr const char* hasChildren = "ANNEAL_HAS_CHILDREN";
inline constexpr const char* badArgument = "ANNEAL_BAD_ARGUMENT";
inline constexpr const char* outOfRange = "ANNEAL_OUT_OF_RANGE";
inline constexpr const char* libraryMissing = "ANNEAL_LIBRARY_MISSING";
inline constexpr const char* symbolMissing = "ANNEAL_SYMBOL_MISSING";
