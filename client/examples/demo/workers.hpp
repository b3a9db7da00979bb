// Six processes that begin at the same moment, and what they report.
//
// Ownership: the processes die with the object (and with the demo, however that ends).
// Threads:   one. Errors: std::runtime_error when no process can be started.
#pragma once

#include <optional>
#include <vector>

#include <sys/types.h>

#include "worker.hpp"

namespace onced::demo {

class Workers {
 public:
  // Starts them; returns when all are ready to begin.
  Workers(std::size_t count, const Plan& plan);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  // Lets all begin. Returns the moment.
  std::uint64_t go();
  // Readable when receive() has something to say.
  int descriptor() const { return reports_; }
  // The next report without waiting longer than poll() on descriptor() said; nothing when all have ended.
  std::optional<Report> receive();
  void kill(std::uint32_t worker);
  // Waits for all to end; the processor time they used, killed ones included.
  double finish();

 private:
  struct Process {
    pid_t pid = -1;
  };
  std::vector<Process> processes_;
  int start_ = -1;    // closing it is the signal to begin
  int reports_ = -1;
};

}  // namespace onced::demo
