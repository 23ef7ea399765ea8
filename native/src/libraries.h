// The shared libraries that the addon finds at run time: the driver (libcuda), NVRTC, nvJitLink, cuBLASLt, cuDNN.
// Where to look is the caller's list; what was found, or why not, is data.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cuda_abi.h"
#include "failure.h"

struct Library {
  void* handle = nullptr;
  std::string path;                   // what the loader mapped
  std::vector<std::string> reasons;   // the loader's words for each name that did not open

  static Library open(const std::vector<std::string>& names);
  void* symbol(const char* name) const;
};

// The driver's entry points. A null one means that the installed driver is older than it.
struct Driver {
  Library library;
  int version = 0;
#define X(name, symbol, arguments) cu::Result(*name) arguments = nullptr;
  ANNEAL_DRIVER_FUNCTIONS(X)
#undef X

  // Opens, resolves and initialises; throws Failure when any of that is not possible.
  static std::shared_ptr<Driver> open(const std::vector<std::string>& names);
  Failure failure(cu::Result result, const char* call, std::string doing) const;
};

// The exported name of each entry point, for messages.
struct DriverNames {
#define X(name, symbol, arguments) static constexpr const char* name = symbol;
  ANNEAL_DRIVER_FUNCTIONS(X)
#undef X
};

// Calls an entry point; a missing one or a result other than success is a Failure that says what was being done.
#define CUDA_CALL(driver, name, doing, ...)                                                                          \
  do {                                                                                                               \
    if ((driver).name == nullptr)                                                                                    \
      throw Failure(symbolMissing, doing, std::string("the driver has no ") + DriverNames::name + ": update it");     \
    if (cu::Result anneal_result = (driver).name(__VA_ARGS__); anneal_result != cu::success)                         \
      throw (driver).failure(anneal_result, DriverNames::name, doing);                                               \
  } while (false)
