// The four scenes of the demo. Each starts six workers, watches them to the end, and returns what it has measured.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "input_files.hpp"
#include "private_daemon.hpp"
#include "stage.hpp"

namespace onced::demo {

// Of one scene; every number was measured in it.
struct Figures {
  std::size_t computations = 0;       // begun
  double cpu_seconds = 0;             // of all workers, and of the daemon while they ran
  double last_chart_seconds = 0;      // from the start to the last of 24 charts
  std::optional<double> hit_ns;       // median over the workers
  std::optional<double> takeover_seconds;  // from the kill to the next worker's first step
};

class Scenes {
 public:
  Scenes(Stage& stage, const PrivateDaemon& daemon, const InputFiles& input, std::size_t workers)
      : stage_(stage), daemon_(daemon), input_(input), workers_(workers) {}

  Figures without_onced();
  Figures with_onced();
  Figures second_visit();
  Figures killed_holder();

 private:
  void draw_charts();

  Stage& stage_;
  const PrivateDaemon& daemon_;
  const InputFiles& input_;
  std::size_t workers_;
};

}  // namespace onced::demo
