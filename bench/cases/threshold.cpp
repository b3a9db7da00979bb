// Where values should lie: in the segment, or in memory of their own. Both over sizes; the plot is bench/threshold.svg.
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>

#include "cases/cases.hpp"
#include "harness/onced_daemon.hpp"
#include "harness/placement.hpp"
#include "harness/timing.hpp"

namespace onced::bench {
namespace {

constexpr std::size_t kibibyte = 1024;
constexpr std::size_t inline_most = 64 * kibibyte;  // limits::value_bytes_max
constexpr std::size_t sizes[] = {4 * kibibyte,    8 * kibibyte,    16 * kibibyte,        32 * kibibyte,
                                 64 * kibibyte,   256 * kibibyte,  1024 * kibibyte,      4 * 1024 * kibibyte,
                                 16 * 1024 * kibibyte, 64 * 1024 * kibibyte};

enum class Where : std::uint8_t { segment, own_memory };

std::string size_text(std::size_t bytes) {
  return bytes < 1024 * kibibyte ? std::to_string(bytes / kibibyte) + " KiB"
                                 : std::to_string(bytes / kibibyte / 1024) + " MiB";
}
std::string place_text(Where where) { return where == Where::segment ? "in the segment" : "in memory of its own"; }
std::string figure_name(const char* what, std::size_t bytes, Where where) {
  return std::string(what) + ", " + size_text(bytes) + ", " + place_text(where);
}
const char* const put_row = "put";
const char* const first_row = "first view, all of it read";
const char* const again_row = "view again, first byte read";

struct Fixture {
  ClientOptions options(Where where) const {
    ClientOptions options;
    options.socket = daemon.socket_path();
    options.inline_bytes_max = where == Where::segment ? inline_most : 0;
    return options;
  }

  OncedDaemon daemon{{"--memory", "64MiB", "--blobs", "1GiB"}};
  Client in_segment{options(Where::segment)};
  Client in_own_memory{options(Where::own_memory)};
  const std::string bytes = std::string(sizes[std::size(sizes) - 1], 'x');
};

double microseconds_since(std::int64_t begin_ns) { return static_cast<double>(now_ns() - begin_ns) / 1e3; }

std::uint64_t read_all(std::span<const std::byte> bytes) {
  std::uint64_t folded = 0;
  for (std::size_t i = 0; i + 8 <= bytes.size(); i += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i, sizeof word);
    folded ^= word;
  }
  return folded;
}

// Put, look from a process's first mapping, look again: medians of a few values of this size.
std::vector<double> measure(Fixture& fixture, std::size_t bytes, Where where) {
  place(0, Placement::cross_core, Party::client);
  place(fixture.daemon.id(), Placement::cross_core, Party::server);
  Client& writer = where == Where::segment ? fixture.in_segment : fixture.in_own_memory;
  const int values = bytes <= 1024 * kibibyte ? 20 : 3;
  std::vector<double> puts, firsts, agains;
  for (int i = 0; i < values; ++i) {
    const std::string key(must(KeyBuilder("threshold").add(static_cast<std::uint64_t>(i)).build()).bytes());
    std::string copy = fixture.bytes.substr(0, bytes);
    std::int64_t begin = now_ns();
    must(writer.put(key, std::move(copy)));
    puts.push_back(microseconds_since(begin));

    Client reader = fixture.daemon.connect();
    begin = now_ns();
    {
      const auto value = reader.peek(key);
      if (!value || value->bytes().size() != bytes) throw std::runtime_error("onced lost a value");
      keep(read_all(value->bytes()));
    }
    firsts.push_back(microseconds_since(begin));
    constexpr int views = 200;
    begin = now_ns();
    for (int view = 0; view < views; ++view) keep(reader.peek(key)->bytes()[0]);
    agains.push_back(microseconds_since(begin) / views);
  }
  return {median(puts), median(firsts), median(agains)};
}

}  // namespace

Case make_threshold_case(const Settings&) {
  Case benchmark;
  benchmark.name = "threshold";
  benchmark.title = "In the segment or in memory of its own";
  benchmark.setting =
      "A value of one part, published with ClientOptions::inline_bytes_max of 64 KiB and of 0, read by a client that has "
      "just connected (all of it, page faults included), then looked at again. Client and daemon on two cores. The plot "
      "is threshold.svg.";
  const auto fixture = std::make_shared<Fixture>();
  for (const Where where : {Where::segment, Where::own_memory}) {
    for (const std::size_t bytes : sizes) {
      if (where == Where::segment && bytes > inline_most) continue;
      const auto compared = [&](const char* row) {
        return where == Where::own_memory && bytes <= inline_most ? figure_name(row, bytes, Where::segment) : "";
      };
      benchmark.contestants.push_back({{{figure_name(put_row, bytes, where), "us", compared(put_row)},
                                        {figure_name(first_row, bytes, where), "us", compared(first_row)},
                                        {figure_name(again_row, bytes, where), "us", compared(again_row)}},
                                       [fixture, bytes, where] { return measure(*fixture, bytes, where); }});
    }
  }
  benchmark.plot = [](const MedianOf& median_of) {
    Plot plot{"What a value costs by its size", "bytes of the value", "microseconds", {}, inline_most,
              "default of inline_bytes_max"};
    std::size_t colour = 0;
    for (const char* row : {put_row, first_row, again_row}) {
      for (const Where where : {Where::segment, Where::own_memory}) {
        const bool own = where == Where::own_memory;
        Series series{std::string(row) + (own ? ", own memory" : ", segment"), colour, own, {}};
        for (const std::size_t bytes : sizes) {
          if (where == Where::segment && bytes > inline_most) continue;
          series.points.emplace_back(static_cast<double>(bytes), median_of(figure_name(row, bytes, where)));
        }
        plot.series.push_back(std::move(series));
      }
      ++colour;
    }
    return plot;
  };
  return benchmark;
}

}  // namespace onced::bench
