#include "service/log.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include <nlohmann/json.hpp>

#include "support/temp_directory.hpp"
#include "support/watchdog.hpp"

using namespace onced::service;
using onced::testing::TempDirectory;
using onced::testing::read_file;
using onced::testing::wait_until;

namespace {

std::unique_ptr<Log> open_log(const std::string& file, Format format, Level level = Level::info) {
  auto log = Log::open(file, format, level);
  REQUIRE(log.ok());
  return std::move(*log);
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::size_t begin = 0;
  for (std::size_t end = 0; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    lines.push_back(text.substr(begin, end - begin));
  }
  return lines;
}

}  // namespace

TEST_CASE("lines are written in order and below the level not at all") {
  const TempDirectory directory;
  const std::string file = (directory / "log").string();
  auto log = open_log(file, Format::text);
  log->write(Level::debug, "not this");
  log->write(Level::info, "one");
  log->write(Level::warning, "two {} %s");  // data, not a format
  log->set_level(Level::debug);
  log->write(Level::debug, "three");
  log.reset();
  const auto lines = lines_of(read_file(file));
  REQUIRE(lines.size() == 3);
  CHECK(lines[0].ends_with("Z info: one"));
  CHECK(lines[1].ends_with("Z warning: two {} %s"));
  CHECK(lines[2].ends_with("Z debug: three"));
}

TEST_CASE("control bytes are escaped, so that a line stays a line") {
  const TempDirectory directory;
  const std::string file = (directory / "log").string();
  auto log = open_log(file, Format::text);
  log->write(Level::info, "a\nb\x1b[31m\x7f\t");
  log.reset();
  CHECK(read_file(file).ends_with("info: a\\x0ab\\x1b[31m\\x7f\\x09\n"));
}

TEST_CASE("what a terminal acts on is escaped: C1 controls, directions of writing, line ends, bytes that are no UTF-8") {
  const TempDirectory directory;
  for (const Format format : {Format::text, Format::json}) {
    const std::string file = (directory / (format == Format::text ? "text" : "json")).string();
    auto log = open_log(file, format);
    const std::string acting = "\xc2\x9b" "31m \xe2\x80\xae \xe2\x81\xa6 \xe2\x80\xa8 \xd8\x9c";
    log->write(Level::info, acting + " \xff \xc3\xa4 \xf0\x9f\x98\x80");
    log.reset();
    const std::string line = read_file(file);
    CAPTURE(line);
    const std::string escaped = R"(\u009b31m \u202e \u2066 \u2028 \u061c)";
    if (format == Format::text) CHECK(line.ends_with("info: " + escaped + " \\xff \xc3\xa4 \xf0\x9f\x98\x80\n"));
    else CHECK(line.find(escaped + " \xef\xbf\xbd \xc3\xa4 \xf0\x9f\x98\x80\"") != std::string::npos);
    if (format == Format::json) CHECK(nlohmann::json::parse(line).at("text").get<std::string>().starts_with(acting));
  }
}

TEST_CASE("JSON lines are JSON whatever is in them") {
  const TempDirectory directory;
  const std::string file = (directory / "log").string();
  auto log = open_log(file, Format::json);
  const std::string texts[] = {"plain", "quote \" backslash \\ newline \n", "\xc3\xa4\xf0\x9f\x98\x80", "\xff\xc3(\xed\xa0\x80"};
  for (const std::string& text : texts) log->write(Level::error, text);
  log.reset();
  const auto lines = lines_of(read_file(file));
  REQUIRE(lines.size() == 4);
  for (std::size_t i = 0; i < 4; ++i) {
    const auto line = nlohmann::json::parse(lines[i]);
    CHECK(line.at("level") == "error");
    CHECK(line.at("time").get<std::string>().size() == 24);
    if (i < 3) CHECK(line.at("text") == texts[i]);
  }
}

TEST_CASE("a line that is too long is cut") {
  const TempDirectory directory;
  const std::string file = (directory / "log").string();
  auto log = open_log(file, Format::text);
  log->write(Level::info, std::string(100'000, 'x'));
  log.reset();
  const std::string text = read_file(file);
  CHECK(text.size() < Log::line_bytes_max + 100);
  CHECK(text.ends_with("...\n"));
}

TEST_CASE("a full log is survived and its lines are counted") {
  auto log = open_log("/dev/full", Format::text);
  for (int i = 0; i < 100; ++i) log->write(Level::info, "no room for this");
  wait_until([&] { return log->dropped() == 100; }, "the lines to be counted");
}

TEST_CASE("a log that nobody reads never blocks who writes to it, and says later what is missing") {
  const TempDirectory directory;
  const std::string pipe = (directory / "pipe").string();
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  const int reader = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  REQUIRE(reader >= 0);
  auto log = open_log(pipe, Format::text);
  // More than pipe and queue hold.
  const std::string text(1000, 'x');
  for (std::size_t i = 0; i < 2 * Log::lines_waiting_max; ++i) log->write(Level::info, text);
  CHECK(log->dropped() > 0);
  std::string read;
  char buffer[65536];
  wait_until(
      [&] {
        const ssize_t count = ::read(reader, buffer, sizeof(buffer));
        if (count > 0) read.append(buffer, static_cast<std::size_t>(count));
        return read.find("log lines are missing here") != std::string::npos;
      },
      "the line that counts what is missing");
  log.reset();
  ::close(reader);
}

TEST_CASE("a log whose reader has gone is survived") {
  std::signal(SIGPIPE, SIG_IGN);
  const TempDirectory directory;
  const std::string pipe = (directory / "pipe").string();
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  const int reader = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  auto log = open_log(pipe, Format::text);
  ::close(reader);
  for (int i = 0; i < 10; ++i) log->write(Level::info, "nobody reads this");
  wait_until([&] { return log->dropped() == 10; }, "the lines to be counted");
}

TEST_CASE("the end does not wait for ever for a log that takes nothing") {
  const TempDirectory directory;
  const std::string pipe = (directory / "pipe").string();
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  const int reader = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  {
    auto log = open_log(pipe, Format::text);
    const std::string text(1000, 'x');
    for (int i = 0; i < 1000; ++i) log->write(Level::info, text);
  }
  ::close(reader);  // frees the thread that was left behind
}

TEST_CASE("after a rotation the log goes on in a new file") {
  const TempDirectory directory;
  const std::string file = (directory / "log").string();
  auto log = open_log(file, Format::text);
  log->write(Level::info, "before");
  wait_until([&] { return read_file(file).ends_with("before\n"); }, "the first line");
  std::filesystem::rename(file, file + ".1");
  REQUIRE(log->reopen().ok());
  log->write(Level::info, "after");
  log.reset();
  CHECK(read_file(file + ".1").ends_with("before\n"));
  CHECK(read_file(file).ends_with("after\n"));
}

TEST_CASE("a log file that cannot be opened is named") {
  const auto log = Log::open("/nonexistent/log", Format::text, Level::info);
  REQUIRE_FALSE(log.ok());
  CHECK(log.error().text.find("/nonexistent/log") != std::string::npos);
}
