// The only file that knows spdlog: levels, time stamps and formatting are its; queue and writing are LogWriter's, since
// spdlog's own asynchronous logger waits for its sinks at the end of the process.
#include "service/log.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <iterator>
#include <mutex>
#include <utility>

#include <spdlog/formatter.h>
#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>

#include <onced/protocol/utf8.hpp>

#include "service/log_writer.hpp"

namespace onced::service {
namespace {

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::debug: return spdlog::level::debug;
    case Level::info: return spdlog::level::info;
    case Level::warning: return spdlog::level::warn;
    case Level::error: return spdlog::level::err;
  }
  return spdlog::level::info;
}

// The number of a well-formed character of at least two bytes.
std::uint32_t code_point(std::string_view character) {
  std::uint32_t number = static_cast<unsigned char>(character[0]) & (0x7fU >> character.size());
  for (const char c : character.substr(1)) number = number << 6 | (static_cast<unsigned char>(c) & 0x3fU);
  return number;
}

// What a terminal or an editor acts on instead of showing it: C1 controls, line ends, changes of the direction of writing.
bool acts(std::uint32_t number) {
  return number < 0xa0 || number == 0x061c || number == 0x200e || number == 0x200f || (number >= 0x2028 && number <= 0x202e) ||
         (number >= 0x2066 && number <= 0x2069);
}

// A line stays a line, and shows what is in it. In JSON it stays JSON, and a program reads the text as it was, but for bytes that
// are no UTF-8.
void append_escaped(std::string& out, std::string_view text, bool json) {
  const auto hexadecimal = [&out](std::uint32_t number, int digits) {
    for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) out += "0123456789abcdef"[(number >> shift) & 15];
  };
  while (!text.empty()) {
    const std::size_t length = protocol::utf8_character_bytes(text);
    const auto byte = static_cast<unsigned char>(text[0]);
    if (length == 0) {
      out += json ? "\xef\xbf\xbd" : "\\x";
      if (!json) hexadecimal(byte, 2);
    } else if (length == 1 && (byte < 0x20 || byte == 0x7f)) {
      out += json ? "\\u00" : "\\x";
      hexadecimal(byte, 2);
    } else if (length > 1 && acts(code_point(text.substr(0, length)))) {
      out += "\\u";
      hexadecimal(code_point(text.substr(0, length)), 4);
    } else {
      if (json && (byte == '"' || byte == '\\')) out += '\\';
      out += text.substr(0, length);
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
}

std::string timestamp(std::chrono::system_clock::time_point time) {
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
  const std::time_t seconds = static_cast<std::time_t>(milliseconds / 1000);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[40];
  std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
  char fraction[16];
  std::snprintf(fraction, sizeof(fraction), ".%03dZ", static_cast<int>(milliseconds % 1000));
  return std::string(text) + fraction;
}

std::string_view word(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::trace:
    case spdlog::level::debug: return "debug";
    case spdlog::level::info: return "info";
    case spdlog::level::warn: return "warning";
    default: return "error";
  }
}

std::string make_line(Format format, std::chrono::system_clock::time_point time, spdlog::level::level_enum level,
                      std::string_view text) {
  std::string cut;
  if (text.size() > Log::line_bytes_max) {
    cut = std::string(protocol::cut_utf8(text, Log::line_bytes_max - 3)) + "...";
    text = cut;
  }
  std::string line;
  if (format == Format::json) {
    line = R"({"time":")" + timestamp(time) + R"(","level":")" + std::string(word(level)) + R"(","text":")";
    append_escaped(line, text, true);
    line += "\"}\n";
  } else {
    line = timestamp(time) + " " + std::string(word(level)) + ": ";
    append_escaped(line, text, false);
    line += '\n';
  }
  return line;
}

template <Format format>
std::string missing_line(std::uint64_t count) {
  return make_line(format, std::chrono::system_clock::now(), spdlog::level::warn,
                   std::to_string(count) + " log lines are missing here: the log did not take them");
}

class LineFormatter final : public spdlog::formatter {
 public:
  explicit LineFormatter(Format format) : format_(format) {}
  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) override {
    const std::string line =
        make_line(format_, message.time, message.level, std::string_view(message.payload.data(), message.payload.size()));
    out.append(line.data(), line.data() + line.size());
  }
  std::unique_ptr<spdlog::formatter> clone() const override { return std::make_unique<LineFormatter>(format_); }

 private:
  Format format_;
};

class QueueSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit QueueSink(LogWriter& writer) : writer_(writer) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    writer_.push(std::string(line.data(), line.size()));
  }
  void flush_() override {}
  LogWriter& writer_;
};

int open_file(const std::string& file) {
  return ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0640);
}

Error cannot_open(const std::string& file) {
  return Error{ErrorCode::invalid_argument, "cannot open the log file " + file + ": " + std::strerror(errno)};
}

}  // namespace

struct Log::Implementation {
  Implementation(std::string name, int descriptor, Format format)
      : file(std::move(name)),
        writer(descriptor, !file.empty(), lines_waiting_max,
               format == Format::json ? missing_line<Format::json> : missing_line<Format::text>),
        logger("onced", std::make_shared<QueueSink>(writer)) {
    logger.set_formatter(std::make_unique<LineFormatter>(format));
  }
  std::string file;
  LogWriter writer;
  spdlog::logger logger;
};

Log::Log(std::unique_ptr<Implementation> implementation) : implementation_(std::move(implementation)) {}
Log::~Log() = default;

Result<std::unique_ptr<Log>> Log::open(const std::string& file, Format format, Level level) {
  int descriptor = STDERR_FILENO;
  if (!file.empty()) {
    descriptor = open_file(file);
    if (descriptor < 0) return cannot_open(file);
  }
  auto log = std::unique_ptr<Log>(new Log(std::make_unique<Implementation>(file, descriptor, format)));
  log->set_level(level);
  return log;
}

void Log::write(Level level, std::string_view text) {
  // The text is data, not a format.
  implementation_->logger.log(to_spdlog(level), spdlog::string_view_t(text.data(), text.size()));
}

void Log::set_level(Level level) { implementation_->logger.set_level(to_spdlog(level)); }

Result<void> Log::reopen() {
  if (implementation_->file.empty()) return {};
  const int descriptor = open_file(implementation_->file);
  if (descriptor < 0) return cannot_open(implementation_->file);
  implementation_->writer.redirect(descriptor);
  return {};
}

std::uint64_t Log::dropped() const { return implementation_->writer.dropped(); }

}  // namespace onced::service
