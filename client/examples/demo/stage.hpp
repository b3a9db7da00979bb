// Where the demo speaks: headlines, lines, and one live line that is redrawn on a terminal and left out elsewhere.
#pragma once

#include <string>
#include <string_view>

#include "charts.hpp"
#include "output.hpp"

namespace onced::demo {

class Stage {
 public:
  Stage();
  void headline(std::string_view text);
  void line(std::string_view text);
  // Replaced by the next call of any of these. Drawn at most ten times a second.
  void live(std::string_view text);

  // Two charts side by side fit into the width (80 columns where it is not known).
  ChartStyle chart_style() const;
  std::string emphasised(std::string_view text) const;
  // "██████      57 %"
  std::string progress(double fraction) const;

 private:
  void write(std::string_view text);
  void clear_live();

  cli::Screen screen_;
  std::size_t width_;
  bool unicode_;
  bool live_shown_ = false;
  std::uint64_t live_drawn_ns_ = 0;
};

}  // namespace onced::demo
