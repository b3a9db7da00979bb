// A line chart as SVG, both axes logarithmic: for what is measured over sizes.
//
// Threads: pure. Limits: positive numbers only; a series without points is left out.
#pragma once

#include <ostream>
#include <string>
#include <utility>
#include <vector>

namespace onced::bench {

struct Series {
  std::string name;
  std::size_t colour = 0;  // of a handful; series that belong together share one
  bool dashed = false;
  std::vector<std::pair<double, double>> points;  // in ascending order of x
};

struct Plot {
  std::string title;
  std::string x_label;  // sizes in bytes are marked as 4 KiB, 64 KiB, 1 MiB, ...
  std::string y_label;
  std::vector<Series> series;
  double marked_x = 0;  // a vertical line with its own label; 0: none
  std::string mark;
};

void write_svg(const Plot& plot, std::ostream& out);

}  // namespace onced::bench
