#include "top_view.hpp"

#include <algorithm>
#include <cmath>

#include "disk_view.hpp"
#include "reports.hpp"
#include "text_format.hpp"

namespace onced::cli {
namespace {

constexpr std::size_t table_lines_min = 3; // its title, one row, and how many more there are

bool has_disk(const protocol::Report& report) { return number(report, "disk_bytes_max").has_value(); }

// With the empty line below. `width`: its lines are broken between phrases; 0: they are not.
std::string headline(const TopData& data, std::size_t width) {
  const protocol::Report& report = data.statistics.fields;
  const std::uint64_t hits = count(report, "hits");
  const std::uint64_t misses = count(report, "misses");
  const auto seconds = [&](std::string_view name) { return human_duration(number(report, name).value_or(0)); };
  std::vector<std::string> now{"hit ratio " + ratio_text(hits, hits + misses), seconds("seconds_saved") + " saved",
                               plural(count(report, "computations_avoided"), "computation") + " avoided",
                               human_count(count(report, "computing")) + " computing", human_count(count(report, "waiting")) + " waiting"};
  if (count(report, "queued") > 0) now.push_back(human_count(count(report, "queued")) + " queued");
  const std::string disk =
      has_disk(report) ? phrases({"disk " + disk_text(report) + (count(report, "disk_degraded") > 0 ? "; DEGRADED: nothing is written" : "")}, 0) : std::string();
  return phrases({"onced " + text(report, "version"), "up " + seconds("uptime_seconds"), "namespace " + escape(data.namespace_name),
                  "socket " + escape(data.socket)}, width) +
         phrases(now, width) + phrases({"last hour: " + last_hour_text(report)}, 0) +
         phrases({"memory " + memory_text(report), "large parts " + large_parts_text(report)}, width) + disk + "\n";
}

std::size_t lines_in(std::string_view text) { return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')); }

std::string percent(double fraction) {
  return std::isnan(fraction) ? "-" : std::to_string(static_cast<int>(std::floor(std::clamp(fraction, 0.0, 1.0) * 100))) + " %";
}

std::string duration_cell(std::optional<double> seconds) { return seconds ? human_duration(*seconds) : "-"; }

// The first rows of a table in so many lines (0: all), and how many more there are.
template <typename Row, typename Add>
std::string first_rows(Table table, const std::vector<Row>& rows, bool truncated, std::size_t lines, std::size_t width, const Add& add) {
  std::size_t shown = rows.size();
  if (lines != 0 && rows.size() + (truncated ? 2 : 1) > lines) shown = lines - std::min(lines, std::size_t{2});  // its title, "and more"
  for (std::size_t i = 0; i < shown; ++i) add(table, rows[i]);
  std::string text = table.text(width);
  if (shown < rows.size()) text += "and " + human_count(rows.size() - shown) + (truncated ? " or more others\n" : " more\n");
  else if (truncated) text += "and more\n";
  return text;
}

using Cells = std::vector<std::string>;

Cells cells_of(const TopComputation& one) {
  return {percent(one.fraction), duration_cell(one.seconds), human_count(one.waiting), one.holder.empty() ? "-" : cut_to(escape(one.holder), 24),
          key_display(one.key, whole_key) + (one.refresh ? "  (refresh)" : "") + (one.text.empty() ? "" : "  " + escape(one.text))};
}

Cells cells_of(const TopQueued& one) {
  return {"queued", duration_cell(one.seconds), human_count(one.waiting), ordinal(one.position) + " in the queue", key_display(one.key, whole_key)};
}

bool more_are_queued(const TopData& data) { return count(data.statistics.fields, "queued") > data.queued.size(); }

std::size_t computing_rows(const TopData& data) { return data.computing.size() + data.queued.size(); }
bool computing_goes_on(const TopData& data) { return data.computing_truncated || more_are_queued(data); }

std::string computing_table(const TopData& data, std::size_t lines, std::size_t width) {
  std::vector<Cells> rows;
  for (const TopComputation& one : data.computing) rows.push_back(cells_of(one));
  for (const TopQueued& one : data.queued) rows.push_back(cells_of(one));
  if (rows.empty()) return "nothing is being computed\n";
  const auto right = Table::Align::right;
  // The highest number gives way first on a narrow screen.
  Table table({{"DONE", right}, {"FOR", right, 1}, {"WAITING", right, 3}, {"BY", Table::Align::left, 2}, {.title = "COMPUTING", .cut = Table::Cut::call}});
  return first_rows(std::move(table), rows, computing_goes_on(data), lines, width, [](Table& to, Cells cells) { to.add(std::move(cells)); });
}

// "2 of 2, 5 queued"; without a limit how many run.
std::string running_text(const protocol::Report& function) {
  const std::uint64_t limit = count(function, "max_concurrent");
  const std::uint64_t queued = count(function, "queued");
  return human_count(count(function, "running")) + (limit > 0 ? " of " + human_count(limit) : std::string()) +
         (queued > 0 ? ", " + human_count(queued) + " queued" : std::string());
}

std::optional<double> average_cost(const protocol::Report& function) {
  const double computations = number(function, "computations").value_or(0);
  if (computations == 0) return std::nullopt;
  return number(function, "seconds_computed").value_or(0) / computations;
}

std::string functions_table(const TopData& data, std::size_t lines, std::size_t width) {
  if (data.statistics.functions.empty()) return "no function has been asked for yet\n";
  const auto right = Table::Align::right;
  std::vector<Table::Column> columns{{"CALLS", right, 4}, {"HITS", right, 1}, {"AVG COST", right, 5}, {"SAVED", right, 2},
                                     {"LAST HOUR", right, 6}, {"ENTRIES", right, 8}, {"SIZE", right, 7}};
  const bool limits = std::any_of(data.statistics.functions.begin(), data.statistics.functions.end(),
                                  [](const auto& one) { return count(one.fields, "max_concurrent") > 0; });
  if (limits) columns.push_back({"RUNNING", Table::Align::left, 3});
  columns.push_back({.title = "FUNCTION", .cut = Table::Cut::within});
  Table table(std::move(columns));
  return first_rows(std::move(table), by_time_saved(data.statistics.functions), data.statistics.truncated, lines, width,
                    [limits](Table& to, const protocol::FunctionStatistics& one) {
                      const std::optional<double> cost = average_cost(one.fields);
                      // What readers hit is not known of every function.
                      const auto seconds = [&](std::string_view name) { return duration_cell(number(one.fields, name)); };
                      const std::string calls = number(one.fields, "calls") ? human_count(count(one.fields, "calls")) : "-";
                      Cells cells{calls, ratio_text(count(one.fields, "hits"), count(one.fields, "calls")), duration_cell(cost),
                              seconds("seconds_saved"), seconds("seconds_saved_last_hour"),
                              human_count(count(one.fields, "entries")), human_bytes(count(one.fields, "bytes"))};
                      if (limits) cells.push_back(running_text(one.fields));
                      cells.push_back(escape(one.function));
                      to.add(std::move(cells));
                    });
}

// Not one line or column more than there is: the terminal would scroll.
std::string fitted(std::string_view text, const Screen& screen) {
  std::string out;
  for (std::size_t lines = 0; !text.empty() && (screen.height == 0 || lines < screen.height); ++lines) {
    const std::string_view line = text.substr(0, text.find('\n'));
    out += screen.width == 0 ? std::string(line) : cut_to(line, screen.width);
    out += '\n';
    text.remove_prefix(line.size() + 1);
  }
  return out;
}

}  // namespace

std::vector<protocol::FunctionStatistics> by_time_saved(std::vector<protocol::FunctionStatistics> functions) {
  const auto rank = [](const protocol::FunctionStatistics& one) {
    return std::pair(number(one.fields, "seconds_saved").value_or(0), number(one.fields, "seconds_computed").value_or(0));
  };
  std::stable_sort(functions.begin(), functions.end(), [&](const auto& a, const auto& b) { return rank(a) > rank(b); });
  return functions;
}

std::string top_text(const TopData& data, const Screen& screen) {
  std::string head = headline(data, screen.width);
  // On a very low screen its lines are cut instead: the tables are what one looks for.
  if (screen.height != 0 && lines_in(head) + 1 + 2 * table_lines_min > screen.height) head = headline(data, 0);
  std::size_t computing_lines = 0;
  std::size_t function_lines = 0;
  if (screen.height != 0) {
    // Half of the room is the computations', and what the functions leave of the other half.
    const std::size_t room = std::max(screen.height, lines_in(head) + 1 + 2 * table_lines_min) - lines_in(head) - 1;
    const std::size_t functions_wanted = data.statistics.functions.size() + 1;
    const std::size_t computing_wanted = computing_rows(data) + (computing_goes_on(data) ? 2 : 1);
    computing_lines = std::min(computing_wanted, std::max(room / 2, room - std::min(room, functions_wanted)));
    function_lines = room - computing_lines;
  }
  std::string text = head + computing_table(data, computing_lines, screen.width) + "\n" +
                     functions_table(data, function_lines, screen.width);
  return fitted(text, screen);
}

Json top_json(const TopData& data) {
  Json all = Json::object();
  all["status"] = report_json(data.statistics.fields);
  all["computing"] = Json::array();
  for (const TopComputation& one : data.computing) {
    Json line = key_json(one.key);
    line["fraction"] = std::isnan(one.fraction) ? Json(nullptr) : Json(one.fraction);
    line["text"] = one.text;
    line["seconds"] = one.seconds ? Json(*one.seconds) : Json(nullptr);
    line["waiting"] = one.waiting;
    line["holder"] = one.holder;
    line["refresh"] = one.refresh;
    all["computing"].push_back(std::move(line));
  }
  all["computing_truncated"] = data.computing_truncated;
  all["queued"] = Json::array();
  for (const TopQueued& one : data.queued) {
    Json line = key_json(one.key);
    line["queue_position"] = one.position;
    line["seconds"] = one.seconds ? Json(*one.seconds) : Json(nullptr);
    line["waiting"] = one.waiting;
    all["queued"].push_back(std::move(line));
  }
  all["functions"] = Json::array();
  for (const protocol::FunctionStatistics& one : by_time_saved(data.statistics.functions)) {
    Json line = Json::object();
    line["function"] = one.function;
    line.update(report_json(one.fields));
    const std::optional<double> cost = average_cost(one.fields);
    line["seconds_average"] = cost ? Json(*cost) : Json(nullptr);
    all["functions"].push_back(std::move(line));
  }
  all["functions_truncated"] = data.statistics.truncated;
  return all;
}

}  // namespace onced::cli
