// Runs cases in child processes with a deadline, so that a kernel that faults or never ends costs its own case and nothing
// else. A child prints "begin NAME" before a case and "end NAME VERDICT" after it; the parent names whatever was begun and
// never ended.
#pragma once
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <poll.h>
#include <string>
#include <vector>

struct CaseResult {
  std::string name, verdict; // "pass", or why not
};

struct Group {
  std::string name;
  double deadline_s; // for each case
  std::function<void()> body; // in the child; calls begin_case and end_case
};

// Cases that a group runs at most; the sanitizer's runs are slow.
inline int &most_cases() {
  static int most = 1 << 30;
  return most;
}

inline void begin_case(const std::string &name) {
  static int begun = 0;
  if (begun++ >= most_cases()) {
    std::fflush(stdout);
    _exit(0);
  }
  std::printf("begin %s\n", name.c_str());
  std::fflush(stdout);
}
inline void end_case(const std::string &name, const std::string &verdict) {
  std::printf("end %s %s\n", name.c_str(), verdict.c_str());
  std::fflush(stdout);
}

inline std::vector<CaseResult> run_group(const Group &group) {
  int ends[2];
  if (pipe(ends) != 0) return {{group.name, "the harness could not make a pipe"}};
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    dup2(ends[1], 1);
    std::string failure;
    try {
      group.body();
    } catch (const std::exception &error) {
      std::printf("failed %s\n", error.what());
    }
    std::fflush(stdout);
    _exit(0);
  }
  close(ends[1]);
  std::vector<CaseResult> results;
  std::string buffer, open;
  bool late = false;
  std::string failure;
  for (;;) {
    pollfd p{ends[0], POLLIN, 0};
    const int ready = poll(&p, 1, (int)(group.deadline_s * 1000));
    if (ready == 0) {
      late = true;
      kill(child, SIGKILL);
      break;
    }
    char chunk[4096];
    const ssize_t got = read(ends[0], chunk, sizeof chunk);
    if (got <= 0) break;
    buffer.append(chunk, (size_t)got);
    for (size_t at; (at = buffer.find('\n')) != std::string::npos; buffer.erase(0, at + 1)) {
      const std::string line = buffer.substr(0, at);
      if (line.rfind("begin ", 0) == 0) open = line.substr(6);
      else if (line.rfind("end ", 0) == 0) {
        const size_t space = line.find(' ', 4);
        results.push_back({line.substr(4, space - 4), line.substr(space + 1)});
        open.clear();
      } else if (line.rfind("failed ", 0) == 0) failure = line.substr(7);
      else std::printf("%s\n", line.c_str());
    }
  }
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (late) results.push_back({open.empty() ? group.name : open, "never ended: no answer within " + std::to_string(group.deadline_s) + " s, the process was killed"});
  else if (!failure.empty()) results.push_back({open.empty() ? group.name : open, failure});
  else if (WIFSIGNALED(status)) results.push_back({open.empty() ? group.name : open, "the process died of signal " + std::to_string(WTERMSIG(status))});
  else if (!open.empty()) results.push_back({open, "the process ended before the case did"});
  return results;
}
