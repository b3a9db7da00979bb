#include "harness/machine.hpp"

#include <gnu/libc-version.h>
#include <hiredis/hiredis.h>
#include <lmdb.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdio>
#include <ctime>
#include <fstream>
#include <memory>
#include <numeric>
#include <sstream>

#include "harness/placement.hpp"

namespace onced::bench {
namespace {

// The first line of a file, or `otherwise`.
std::string first_line(const std::string& path, const std::string& otherwise) {
  std::ifstream file(path);
  std::string line;
  return std::getline(file, line) && !line.empty() ? line : otherwise;
}

std::string first_line_of_command(const std::string& command) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> pipe(::popen(command.c_str(), "r"), &::pclose);
  char buffer[512] = {};
  if (pipe == nullptr || std::fgets(buffer, sizeof buffer, pipe.get()) == nullptr) return "unknown";
  std::string line(buffer);
  while (!line.empty() && line.back() == '\n') line.pop_back();
  return line;
}

// The value of "name : value" in a file of /proc.
std::string field_of(const std::string& path, const std::string& name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const auto colon = line.find(':');
    if (line.starts_with(name) && colon != std::string::npos) {
      const auto begin = line.find_first_not_of(" \t", colon + 1);
      return begin == std::string::npos ? "" : line.substr(begin);
    }
  }
  return "unknown";
}

std::string commit() {
  const std::string git = "git -C '" ONCED_BENCH_SOURCE_DIR "' ";
  std::string id = first_line_of_command(git + "rev-parse --short=12 HEAD 2>/dev/null");
  // The results themselves do not count as a change.
  const std::string changed = first_line_of_command(
      git + "status --porcelain --untracked-files=no -- . ':(exclude)bench/RESULTS.md' 2>/dev/null");
  if (changed != "unknown") id += " with local changes";
  return id;
}

std::string compiler() {
#if defined(__clang__)
  return std::string("clang ") + __clang_version__;
#else
  return std::string("g++ ") + __VERSION__;
#endif
}

}  // namespace

Facts describe_machine() {
  utsname kernel{};
  ::uname(&kernel);
  const bool virtual_machine = field_of("/proc/cpuinfo", "flags").find(" hypervisor") != std::string::npos;
  const long memory_mib = ::sysconf(_SC_PHYS_PAGES) / 1024 * (::sysconf(_SC_PAGESIZE) / 1024);
  char now[64] = {};
  const std::time_t seconds = std::time(nullptr);
  std::tm calendar{};
  std::strftime(now, sizeof now, "%Y-%m-%d %H:%M UTC", ::gmtime_r(&seconds, &calendar));
  return {
      {"date", now},
      {"commit", commit()},
      {"processor", field_of("/proc/cpuinfo", "model name") + ", " + std::to_string(core_count()) + " cores" +
                        (virtual_machine ? ", virtual machine" : "")},
      {"governor", first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "not exposed")},
      {"memory", std::to_string(memory_mib) + " MiB"},
      {"kernel", std::string(kernel.release) + " " + kernel.machine},
      {"load before the run", first_line("/proc/loadavg", "unknown")},
      {"compiler", compiler() + ", " ONCED_BENCH_BUILD_TYPE},
      {"C library", std::string("glibc ") + ::gnu_get_libc_version()},
      {"onced", ONCED_BENCH_VERSION},
      {"LMDB", mdb_version(nullptr, nullptr, nullptr)},
      {"Redis", first_line_of_command("redis-server --version")},
      {"hiredis",
       std::to_string(HIREDIS_MAJOR) + "." + std::to_string(HIREDIS_MINOR) + "." + std::to_string(HIREDIS_PATCH)},
  };
}

StolenTime::StolenTime() : start_(read()) {}

StolenTime::Jiffies StolenTime::read() {
  constexpr std::size_t steal_column = 7;  // "cpu user nice system idle iowait irq softirq steal", proc(5)
  std::istringstream line(first_line("/proc/stat", ""));
  std::string label;
  line >> label;
  std::vector<double> columns;
  for (double jiffies = 0; line >> jiffies && columns.size() <= steal_column;) columns.push_back(jiffies);
  if (columns.size() <= steal_column) return {};
  return {columns[steal_column], std::accumulate(columns.begin(), columns.end(), 0.0)};
}

double StolenTime::share() const {
  const Jiffies end = read();
  return end.all > start_.all ? (end.stolen - start_.stolen) / (end.all - start_.all) : 0;
}

}  // namespace onced::bench
