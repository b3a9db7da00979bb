#include "harness/plot.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>

namespace onced::bench {
namespace {

constexpr double width = 980, height = 500;
constexpr double left = 90, right = 340, top = 50, bottom = 70;
// For all eyes (Okabe and Ito).
constexpr std::array<const char*, 6> colours{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"};

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '&') result += "&amp;";
    else if (c == '<') result += "&lt;";
    else result += c;
  }
  return result;
}

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value);
  return text;
}

std::string bytes_text(double bytes) {
  char text[32];
  if (bytes >= 1024 * 1024) std::snprintf(text, sizeof text, "%g MiB", bytes / (1024 * 1024));
  else if (bytes >= 1024) std::snprintf(text, sizeof text, "%g KiB", bytes / 1024);
  else std::snprintf(text, sizeof text, "%g B", bytes);
  return text;
}

struct Range {
  double least = std::numeric_limits<double>::max();
  double most = 0;
  void add(double value) {
    least = std::min(least, value);
    most = std::max(most, value);
  }
  double place(double value) const { return (std::log(value) - std::log(least)) / (std::log(most) - std::log(least)); }
};

class Sheet {
 public:
  Sheet(const Plot& plot, std::ostream& out) : plot_(plot), out_(out) {
    for (const Series& series : plot.series) {
      for (const auto& [x, y] : series.points) {
        xs_.add(x);
        ys_.add(y);
      }
    }
    // Whole decades upwards, and room for a flat line.
    ys_.least = std::pow(10, std::floor(std::log10(ys_.least)));
    ys_.most = std::pow(10, std::ceil(std::log10(ys_.most)));
    if (ys_.most <= ys_.least) ys_.most = ys_.least * 10;
    if (xs_.most <= xs_.least) xs_.most = xs_.least * 2;
  }

  void draw() {
    out_ << "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " << width << ' ' << height
         << "\" font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n";
    text(left, top - 22, "start", plot_.title, "font-size=\"16\"");
    axes();
    if (plot_.marked_x > 0) mark();
    for (std::size_t i = 0; i < plot_.series.size(); ++i) line(i);
    out_ << "</svg>\n";
  }

 private:
  double x(double value) const { return left + xs_.place(value) * (width - left - right); }
  double y(double value) const { return height - bottom - ys_.place(value) * (height - top - bottom); }

  void text(double at_x, double at_y, const char* anchor, const std::string& what, const std::string& more = {}) {
    out_ << "<text x=\"" << number(at_x) << "\" y=\"" << number(at_y) << "\" text-anchor=\"" << anchor << "\" " << more
         << ">" << escaped(what) << "</text>\n";
  }
  void stroke(double x1, double y1, double x2, double y2, const char* style) {
    out_ << "<line x1=\"" << number(x1) << "\" y1=\"" << number(y1) << "\" x2=\"" << number(x2) << "\" y2=\""
         << number(y2) << "\" " << style << "/>\n";
  }

  void axes() {
    for (double at = ys_.least; at <= ys_.most * 1.001; at *= 10) {
      stroke(left, y(at), width - right, y(at), "stroke=\"#ddd\"");
      char label[32];
      std::snprintf(label, sizeof label, "%g", at);
      text(left - 8, y(at) + 4, "end", label);
    }
    for (double at = xs_.least; at <= xs_.most * 1.001; at *= 4) {
      stroke(x(at), top, x(at), height - bottom, "stroke=\"#eee\"");
      text(x(at), height - bottom + 18, "middle", bytes_text(at));
    }
    stroke(left, height - bottom, width - right, height - bottom, "stroke=\"black\"");
    stroke(left, top, left, height - bottom, "stroke=\"black\"");
    text((left + width - right) / 2, height - 22, "middle", plot_.x_label);
    out_ << "<text transform=\"translate(24 " << number((top + height - bottom) / 2)
         << ") rotate(-90)\" text-anchor=\"middle\">" << escaped(plot_.y_label) << "</text>\n";
  }

  void mark() {
    stroke(x(plot_.marked_x), top, x(plot_.marked_x), height - bottom, "stroke=\"#888\" stroke-dasharray=\"3 3\"");
    text(x(plot_.marked_x) + 6, top + 14, "start", plot_.mark, "fill=\"#555\"");
  }

  void line(std::size_t i) {
    const Series& series = plot_.series[i];
    if (series.points.empty()) return;
    const std::string colour = colours[series.colour % colours.size()];
    const std::string style = "stroke=\"" + colour + "\" stroke-width=\"2\" fill=\"none\"" +
                              (series.dashed ? " stroke-dasharray=\"7 4\"" : "");
    out_ << "<polyline " << style << " points=\"";
    for (const auto& [at, value] : series.points) out_ << number(x(at)) << ',' << number(y(value)) << ' ';
    out_ << "\"/>\n";
    for (const auto& [at, value] : series.points) {
      out_ << "<circle cx=\"" << number(x(at)) << "\" cy=\"" << number(y(value)) << "\" r=\"3\" fill=\""
           << colour << "\"/>\n";
    }
    const double row = top + 20.0 * static_cast<double>(i);
    stroke(width - right + 15, row, width - right + 45, row, style.c_str());
    text(width - right + 52, row + 4, "start", series.name);
  }

  const Plot& plot_;
  std::ostream& out_;
  Range xs_;
  Range ys_;
};

}  // namespace

void write_svg(const Plot& plot, std::ostream& out) { Sheet(plot, out).draw(); }

}  // namespace onced::bench
