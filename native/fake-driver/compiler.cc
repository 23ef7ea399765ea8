// NVRTC's stand-in: lines "//! kernel NAME sizes…" of the source become the image; "#error" fails.
#include <cstring>
#include <sstream>

#include "fake.h"

namespace {
struct Program {
  std::string source, image, log;
};
}  // namespace
using ProgramHandle = Program*;

FAKE_API int nvrtcVersion(int* major, int* minor) {
  *major = 13;
  *minor = 0;
  return 0;
}
FAKE_API const char* nvrtcGetErrorString(int result) {
  return result == 6 ? "NVRTC_ERROR_COMPILATION" : result == 0 ? "NVRTC_SUCCESS" : "NVRTC_ERROR_INVALID_INPUT";
}
FAKE_API int nvrtcCreateProgram(ProgramHandle* out, const char* source, const char*, int, const char* const*, const char* const*) {
  *out = new Program{source, {}, {}};
  return 0;
}
FAKE_API int nvrtcDestroyProgram(ProgramHandle* program) {
  delete *program;
  *program = nullptr;
  return 0;
}
FAKE_API int nvrtcAddNameExpression(ProgramHandle, const char*) { return 0; }
FAKE_API int nvrtcCompileProgram(ProgramHandle program, int, const char* const*) {
  std::istringstream lines(program->source);
  std::string line;
  program->image = "fake-image\n";
  while (std::getline(lines, line)) {
    if (line.rfind("#error", 0) == 0) {
      program->log = "source(1): error: " + line;
      return 6;
    }
    if (line.rfind("//! ", 0) == 0) program->image += line.substr(4) + "\n";
  }
  return 0;
}
FAKE_API int nvrtcGetProgramLogSize(ProgramHandle program, std::size_t* bytes) {
  *bytes = program->log.size() + 1;
  return 0;
}
FAKE_API int nvrtcGetProgramLog(ProgramHandle program, char* log) {
  std::strcpy(log, program->log.c_str());
  return 0;
}
FAKE_API int nvrtcGetCUBINSize(ProgramHandle program, std::size_t* bytes) {
  *bytes = program->image.size();
  return 0;
}
FAKE_API int nvrtcGetCUBIN(ProgramHandle program, char* image) {
  std::memcpy(image, program->image.data(), program->image.size());
  return 0;
}
FAKE_API int nvrtcGetPTXSize(ProgramHandle program, std::size_t* bytes) { return nvrtcGetCUBINSize(program, bytes); }
FAKE_API int nvrtcGetPTX(ProgramHandle program, char* image) { return nvrtcGetCUBIN(program, image); }
FAKE_API int nvrtcGetLoweredName(ProgramHandle, const char* expression, const char** lowered) {
  *lowered = expression;
  return 0;
}
