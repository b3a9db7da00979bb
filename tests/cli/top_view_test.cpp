#include "top_view.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <sstream>

#include "support/contains.hpp"
#include "text_format.hpp"

namespace onced::cli {
namespace {

using protocol::FunctionStatistics;

FunctionStatistics function_of(const std::string& name, double saved) {
  return {name, {{"calls", std::uint64_t{4}}, {"hits", std::uint64_t{3}}, {"computations", std::uint64_t{2}}, {"seconds_computed", 5.0},
                 {"seconds_saved", saved}, {"seconds_saved_last_hour", 30.0}, {"entries", std::uint64_t{1}}, {"bytes", std::uint64_t{2048}}}};
}

TopComputation computation_of(int argument, double fraction = std::nan("")) {
  TopComputation made;
  made.key = KeyBuilder("report", "v1").add(argument).build()->bytes();
  made.fraction = fraction;
  made.seconds = 12.7;
  made.waiting = 3;
  made.holder = "pid 41 (gunicorn)";
  return made;
}

TopData data_of(std::size_t computations, std::size_t functions) {
  TopData data;
  data.socket = "/run/onced/onced.sock";
  data.namespace_name = "default";
  data.statistics.fields = {{"version", std::string("0.1.0")}, {"hits", std::uint64_t{1}}, {"misses", std::uint64_t{1}},
                            {"computations_avoided_last_hour", std::uint64_t{1234}}, {"seconds_saved_last_hour", 312.0},
                            {"duplicates_avoided_last_hour", std::uint64_t{310}}};
  for (std::size_t i = 0; i < computations; ++i) data.computing.push_back(computation_of(static_cast<int>(i), 0.4));
  for (std::size_t i = 0; i < functions; ++i) data.statistics.functions.push_back(function_of("f" + std::to_string(i), static_cast<double>(i)));
  return data;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

using testing::contains;

}  // namespace

TEST_CASE("a computation is shown with progress, time, waiters, holder and key; a function with what it saves") {
  TopData data = data_of(1, 1);
  data.computing[0].text = "half-way\x1b[31m";
  data.computing[0].refresh = true;
  const std::string text = top_text(data, {.width = 0, .height = 0});
  CHECK(contains(text, "40 %  12.7 s        3  pid 41 (gunicorn)  report@v1(0)  (refresh)  half-way\\x1b[31m\n"));
  CHECK(contains(text, "    4  75.0 %    2.50 s    0 s     30.0 s        1  2.0 KiB  f0\n"));
  CHECK(contains(text, "hit ratio 50.0 %"));
  CHECK(contains(text, "\nlast hour: 1,234 computations avoided, 5 min 12 s saved, 310 duplicates avoided\n"));
}

TEST_CASE("what is queued is shown after what is computed, at its place, with the limits of functions") {
  TopData data = data_of(1, 2);
  CHECK_FALSE(contains(top_text(data, {.width = 0, .height = 0}), "RUNNING"));
  data.queued.push_back({std::string(KeyBuilder("report", "v1").add(8).build()->bytes()), 1, 3.2, 4});
  data.queued.push_back({std::string(KeyBuilder("report", "v1").add(9).build()->bytes()), 2, std::nullopt, 1});
  data.statistics.fields.emplace_back("queued", std::uint64_t{7});
  auto& limited = data.statistics.functions[1].fields;
  limited.emplace_back("running", std::uint64_t{2});
  limited.emplace_back("queued", std::uint64_t{7});
  limited.emplace_back("max_concurrent", std::uint64_t{2});
  data.statistics.functions[0].fields.emplace_back("running", std::uint64_t{3});
  const std::string text = top_text(data, {.width = 0, .height = 0});
  CHECK(contains(text, "0 waiting, 7 queued\n"));
  CHECK(contains(text, "queued  3.20 s        4  1st in the queue   report@v1(8)\n"));
  CHECK(contains(text, "queued       -        1  2nd in the queue   report@v1(9)\nand more\n"));
  CHECK(contains(text, "2.0 KiB  2 of 2, 7 queued  f1\n"));
  CHECK(contains(text, "2.0 KiB  3                 f0\n"));
  CHECK(text.find("report@v1(0)") < text.find("report@v1(8)"));
  for (const std::size_t height : {8U, 10U, 24U})
    CHECK(lines_of(top_text(data, {.terminal = true, .width = 80, .height = height})).size() <= height);
  const Json json = top_json(data);
  CHECK(json["queued"][0]["queue_position"] == 1);
  CHECK(json["queued"][0]["waiting"] == 4);
  CHECK(json["queued"][1]["seconds"].is_null());
  CHECK(json["functions"][0]["max_concurrent"] == 2);
}

TEST_CASE("what is not known of a function is shown as unknown, and that there are more functions is said") {
  TopData data = data_of(0, 2);
  CHECK(top_json(data)["functions_truncated"] == false);
  for (const std::size_t field : {0U, 1U, 4U, 5U}) data.statistics.functions[1].fields[field].second = std::nan("");
  data.statistics.truncated = true;
  const std::string text = top_text(data, {.width = 0, .height = 0});
  CHECK(contains(text, "    -       -    2.50 s      -          -        1  2.0 KiB  f1\nand more\n"));
  const Json json = top_json(data);
  CHECK(json["functions_truncated"] == true);
  for (const char* name : {"calls", "hits", "seconds_saved", "seconds_saved_last_hour"}) CHECK(json["functions"][1][name].is_null());
  CHECK(json["functions"][1]["seconds_computed"] == 5.0);
}

TEST_CASE("how long a computation has been under way is told as precisely as by ls") {
  TopData data = data_of(1, 0);
  data.computing[0].seconds = 0.423;
  CHECK(contains(top_text(data, {.width = 0, .height = 0}), "40 %  423.0 ms  "));
}

TEST_CASE("functions are in order of the time they saved") {
  const std::string text = top_text(data_of(0, 3), {.width = 0, .height = 0});
  CHECK(contains(text, "nothing is being computed"));
  CHECK(text.find(" f2\n") < text.find(" f1\n"));
  CHECK(text.find(" f1\n") < text.find(" f0\n"));
}

TEST_CASE("a view never has more lines or columns than the screen, and says what it leaves out") {
  for (const std::size_t height : {8U, 24U, 50U}) {
    for (const std::size_t computations : {0U, 1U, 10U, 40U}) {
      for (const std::size_t functions : {0U, 1U, 10U, 200U}) {
        CAPTURE(height);
        CAPTURE(computations);
        CAPTURE(functions);
        const auto lines = lines_of(top_text(data_of(computations, functions), {.terminal = true, .width = 80, .height = height}));
        CHECK(lines.size() <= height);
        for (const std::string& line : lines) CHECK(columns_of(line) <= 80);
      }
    }
  }
  const std::string crowded = top_text(data_of(40, 200), {.terminal = true, .width = 80, .height = 24});
  CHECK(contains(crowded, "and 33 more\n"));
  CHECK(contains(crowded, "FUNCTION"));
  const std::string roomy = top_text(data_of(12, 2), {.terminal = true, .width = 80, .height = 24});
  CHECK_FALSE(contains(roomy, "more"));  // what the functions do not need is the computations'
}

TEST_CASE("in 80 columns names, arguments, ratios and who runs are whole enough to tell functions apart") {
  TopData data = data_of(1, 0);
  data.computing[0].key = KeyBuilder("platform.reports.monthly.revenue_by_region", "v1").add("north").build()->bytes();
  data.statistics.fields.emplace_back("seconds_saved", 4000.0);
  data.statistics.fields.emplace_back("computations_avoided", std::uint64_t{1'234'567});
  data.statistics.fields.emplace_back("queued", std::uint64_t{12});
  for (const char* end : {"revenue_by_region", "customer_value", "stock_turnover"}) {
    FunctionStatistics one = function_of("platform.reports.monthly." + std::string(end), 1e5);
    one.fields[0].second = std::uint64_t{1'234'567};
    one.fields[1].second = std::uint64_t{1'234'567};
    one.fields.emplace_back("running", std::uint64_t{12});
    one.fields.emplace_back("queued", std::uint64_t{120});
    one.fields.emplace_back("max_concurrent", std::uint64_t{12});
    data.statistics.functions.push_back(one);
  }
  for (const std::size_t width : {80U, 100U, 132U}) {
    CAPTURE(width);
    const std::string text = top_text(data, {.terminal = true, .width = width, .height = 40});
    for (const std::string& line : lines_of(text)) CHECK(columns_of(line) <= width);
    for (const char* end : {"by_region", "customer_value", "stock_turnover"}) CHECK(contains(text, std::string(end) + "\n"));
    CHECK(contains(text, "by_region@v1(\"north\")"));
    CHECK(contains(text, "100.0 %"));
    CHECK(contains(text, "12 of 12, 120 queued"));
    CHECK(contains(text, "hit ratio 50.0 %"));
    CHECK(contains(text, "12 queued\n"));
  }
  CHECK_FALSE(contains(top_text(data, {.terminal = true, .width = 80, .height = 40}), "ENTRIES"));
  const std::string everything = top_text(data, {.width = 0, .height = 0});
  for (const char* title : {"ENTRIES", "LAST HOUR", "AVG COST", "SIZE"}) CHECK(contains(everything, title));
}

TEST_CASE("for programs there is all of it, unknown numbers as null") {
  TopData data = data_of(1, 1);
  data.computing[0].fraction = std::nan("");
  data.computing[0].seconds.reset();
  const Json json = top_json(data);
  CHECK(json["computing"][0]["function_version"] == "v1");
  CHECK(json["computing"][0]["fraction"].is_null());
  CHECK(json["computing"][0]["seconds"].is_null());
  CHECK(json["computing"][0]["holder"] == "pid 41 (gunicorn)");
  CHECK(json["functions"][0]["seconds_average"] == 2.5);
  CHECK(json["status"]["version"] == "0.1.0");
}

}  // namespace onced::cli
