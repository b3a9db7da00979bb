#include "stage.hpp"

#include <algorithm>
#include <clocale>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include <langinfo.h>
#include <unistd.h>

#include "text_format.hpp"
#include "worker.hpp"

namespace onced::demo {
namespace {

constexpr std::size_t gap = 2;

bool locale_is_utf8() {
  std::setlocale(LC_CTYPE, "");
  return std::strcmp(::nl_langinfo(CODESET), "UTF-8") == 0;
}

}  // namespace

Stage::Stage()
    : screen_(cli::screen_of(STDOUT_FILENO)),
      width_(std::clamp<std::size_t>(screen_.terminal ? screen_.width : 80, 60, 120)),
      unicode_(locale_is_utf8()) {}

void Stage::write(std::string_view text) {
  if (!cli::write_all(STDOUT_FILENO, text)) throw std::runtime_error(std::string("cannot write: ") + std::strerror(errno));
}

void Stage::clear_live() {
  if (live_shown_) write("\r\x1b[K");
  live_shown_ = false;
  live_drawn_ns_ = 0;
}

void Stage::headline(std::string_view text) {
  clear_live();
  write("\n" + emphasised(text) + "\n");
}

void Stage::line(std::string_view text) {
  clear_live();
  std::string line(text);
  line += '\n';
  write(line);
}

void Stage::live(std::string_view text) {
  constexpr std::uint64_t frame_ns = 100'000'000;
  if (!screen_.live || monotonic_ns() - live_drawn_ns_ < frame_ns) return;
  live_drawn_ns_ = monotonic_ns();
  write("\r\x1b[K" + cli::cut_to(text, width_ - 1));
  live_shown_ = true;
}

ChartStyle Stage::chart_style() const { return {(width_ - gap) / 2, unicode_, screen_.colour}; }

std::string Stage::emphasised(std::string_view text) const {
  return screen_.colour ? "\x1b[1m" + std::string(text) + "\x1b[0m" : std::string(text);
}

std::string Stage::progress(double fraction) const {
  const bool known = fraction >= 0 && fraction <= 1;
  const std::string percent = known ? std::to_string(static_cast<int>(std::floor(fraction * 100))) : "?";
  std::string text = bar(known ? fraction : 0, 16, unicode_);
  text.append(4 - std::min<std::size_t>(percent.size(), 3), ' ').append(percent).append(" %");
  return text;
}

}  // namespace onced::demo
