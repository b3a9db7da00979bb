// status, stats: what the daemon says of itself.
#include <algorithm>
#include <utility>

#include <onced/protocol/pin_page.hpp>

#include "context.hpp"
#include "disk_view.hpp"
#include "reports.hpp"
#include "text_format.hpp"

namespace onced::cli {
namespace {

std::string status_screen(const protocol::Report& report, const Context& context, const std::string& socket) {
  const auto amount = [&](std::string_view name) { return human_count(count(report, name)); };
  const auto row = [](std::string label, const std::string& value) {
    label.resize(14, ' ');
    return label + value + "\n";
  };
  const std::uint64_t hits = count(report, "hits");
  const std::uint64_t misses = count(report, "misses");
  const std::uint64_t computing = count(report, "computing");
  std::string screen = context.output.bold("onced " + text(report, "version")) + "  pid " +
                       std::to_string(count(report, "pid")) + ", up " +
                       human_duration(number(report, "uptime_seconds").value_or(0)) + "\n";
  screen += row("socket", escape(socket));
  screen += row("namespace", escape(context.options.namespace_name));
  screen += row("memory", memory_text(report));
  screen += row("large parts", large_parts_text(report));
  if (number(report, "disk_bytes_max")) {
    screen += row("disk", disk_text(report) + (count(report, "disk_degraded") > 0 ? context.output.red("; degraded: nothing is written") : std::string()));
  }
  screen += row("entries", amount("entries"));
  screen += row("hit ratio", context.output.bold(ratio_text(hits, hits + misses)) + "  (" + plural(hits, "hit") + ", " +
                                 human_count(misses) + (misses == 1 ? " miss)" : " misses)"));
  screen += row("computations", amount("computations") + ", " + amount("computations_avoided") + " avoided, of them " +
                                    plural(count(report, "duplicates_avoided"), "duplicate"));
  screen += row("time saved", context.output.bold(human_duration(number(report, "seconds_saved").value_or(0))));
  screen += row("last hour", last_hour_text(report));
  const std::string now = human_count(computing) + " computing";
  screen += row("now", (computing > 0 ? context.output.yellow(now) : now) + ", " + amount("waiting") + " waiting, " +
                           (count(report, "queued") > 0 ? amount("queued") + " queued, " : std::string()) +
                           plural(count(report, "connections"), "connection"));
  return screen;
}

int status(Context& context) {
  Client client(context.client_options());
  const Result<protocol::Report> report = client.status();
  if (!report) return context.fail(report.error());
  if (context.options.json) context.json_line(report_json(*report));
  else context.output.data(status_screen(*report, context, client.socket_path()));
  return exit_code::ok;
}

Json statistics_json(const protocol::Statistics& statistics) {
  Json functions = Json::array();
  for (const auto& function : statistics.functions) {
    Json row = Json::object();
    row["function"] = function.function;
    row.update(report_json(function.fields));
    functions.push_back(std::move(row));
  }
  Json all = report_json(statistics.fields);
  all["functions"] = std::move(functions);
  all["functions_truncated"] = statistics.truncated;
  return all;
}

// Functions whose readers' hits have counters of their own.
constexpr std::size_t counted_apart_max = protocol::counter_functions - 1;

std::string cell_of(const protocol::FunctionStatistics& function, const std::string& name) {
  const auto field = std::find_if(function.fields.begin(), function.fields.end(), [&](const auto& one) { return one.first == name; });
  return field == function.fields.end() ? "-" : human(name, field->second);
}

// These fields of every function; `end` is what their titles do without.
std::string table_of(const protocol::Statistics& statistics, const std::vector<std::string>& names, std::string_view end, std::size_t width) {
  std::vector<Table::Column> columns;
  for (const std::string& name : names) columns.push_back({name.substr(0, name.size() - end.size()), Table::Align::right});
  columns.push_back({.title = "function", .cut = Table::Cut::within});
  Table table(std::move(columns));
  for (const auto& function : statistics.functions) {
    std::vector<std::string> cells;
    for (const std::string& name : names) cells.push_back(cell_of(function, name));
    cells.push_back(escape(function.function));
    table.add(std::move(cells));
  }
  return table.text(width);
}

// Tables of the fields whose names end so, without the end; of all other fields when it is empty. Every counter is wanted here: what has
// no place beside the names in one table is in a further one.
std::string functions_text(const protocol::Statistics& statistics, std::string_view end, std::size_t width) {
  constexpr std::string_view last_hour = "_last_hour";
  const std::size_t for_names = Table::last_column_least(width);
  std::string text;
  std::vector<std::string> names;
  std::size_t used = 0;
  for (const auto& [name, value] : statistics.functions.front().fields) {
    if (name.ends_with(last_hour) == end.empty()) continue;
    std::size_t widest = name.size() - end.size();
    for (const auto& function : statistics.functions) widest = std::max(widest, columns_of(cell_of(function, name)));
    if (width != 0 && !names.empty() && used + widest + 2 + for_names > width) {
      text += table_of(statistics, std::exchange(names, {}), end, width) + "\n";
      used = 0;
    }
    names.push_back(name);
    used += widest + 2;
  }
  return text + table_of(statistics, names, end, width);
}

// What the tables do not say.
std::string notes_on(const protocol::Statistics& statistics) {
  std::string notes;
  if (statistics.truncated) {
    const std::uint64_t known = count(statistics.fields, "functions_known");
    notes += "the " + plural(statistics.functions.size(), "function") + " that saved most" + (known == 0 ? "" : ", of " + human_count(known)) + "\n";
  }
  const bool some_unknown = std::any_of(statistics.functions.begin(), statistics.functions.end(),
                                        [](const auto& one) { return !number(one.fields, "hits"); });
  if (some_unknown) notes += "-: not known, for readers' hits are counted apart for the first " + std::to_string(counted_apart_max) + " functions only\n";
  return notes;
}

std::string statistics_text(const protocol::Statistics& statistics, const Output& output) {
  std::string out;
  std::size_t widest = 0;
  for (const auto& [name, value] : statistics.fields) widest = std::max(widest, name.size());
  for (const auto& [name, value] : statistics.fields) {
    out += escape(name) + std::string(widest - name.size() + 2, ' ') + human(name, value) + "\n";
  }
  if (statistics.functions.empty()) return out;
  const std::size_t width = output.data_screen().width;
  out += "\n" + functions_text(statistics, {}, width) + "\nin the last hour:\n" + functions_text(statistics, "_last_hour", width);
  const std::string notes = notes_on(statistics);
  return notes.empty() ? out : out + "\n" + notes;
}

int stats(Context& context) {
  Client client(context.client_options());
  const Result<protocol::Statistics> statistics = client.statistics();
  if (!statistics) return context.fail(statistics.error());
  if (context.options.json) context.json_line(statistics_json(*statistics));
  else context.output.data(statistics_text(*statistics, context.output));
  return exit_code::ok;
}

}  // namespace

void add_overview_commands(CLI::App& app, Context& context) {
  add_command(app, context, {"status", "", "One screen: memory, hits, time saved, who computes", "",
              "  oncectl status\n"
              "  oncectl status --json | jq .seconds_saved\n"},
              [&context] { return status(context); });
  add_command(app, context, {"stats", "", "Every counter, also per function",
              "In all since the daemon's start, and in the last hour (fields ..._last_hour: the last\n"
              "55 to 60 minutes). computations_avoided: callers who were given a value;\n"
              "duplicates_avoided: those of them who waited for one that was being computed, and\n"
              "would have computed it beside. longest_turn: how long everybody had to wait for the\n"
              "daemon's one loop at most.\n"
              "Functions: the 256 that saved most (functions_truncated: there are more). Readers'\n"
              "hits are counted for each of the first 255 functions that the namespace has had (of\n"
              "`oncectl run` every COMMAND is one), and for all further ones only in the totals:\n"
              "what rests on them is \"-\" there, in JSON null.\n",
              "  oncectl stats\n"
              "  oncectl stats --json | jq '.functions[] | {function, hits}'\n"},
              [&context] { return stats(context); });
}

}  // namespace onced::cli
