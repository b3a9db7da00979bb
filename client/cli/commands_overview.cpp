// status, stats: what the daemon says of itself.
#include <algorithm>

#include "context.hpp"
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
  screen += row("entries", amount("entries"));
  screen += row("hit ratio", context.output.bold(ratio_text(hits, hits + misses)) + "  (" + plural(hits, "hit") + ", " +
                                 human_count(misses) + (misses == 1 ? " miss)" : " misses)"));
  screen += row("computations", amount("computations") + ", " + amount("computations_avoided") + " avoided");
  screen += row("time saved", context.output.bold(human_duration(number(report, "seconds_saved").value_or(0))));
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
  return all;
}

std::string statistics_text(const protocol::Statistics& statistics, const Output& output) {
  std::string out;
  std::size_t widest = 0;
  for (const auto& [name, value] : statistics.fields) widest = std::max(widest, name.size());
  for (const auto& [name, value] : statistics.fields) {
    out += escape(name) + std::string(widest - name.size() + 2, ' ') + human(name, value) + "\n";
  }
  if (statistics.functions.empty()) return out;
  std::vector<Table::Column> columns;
  for (const auto& [name, value] : statistics.functions.front().fields) columns.push_back({name, Table::Align::right});
  columns.push_back({"function"});
  Table table(std::move(columns));
  for (const auto& function : statistics.functions) {
    std::vector<std::string> cells;
    for (const auto& [name, first] : statistics.functions.front().fields) {
      const auto same = [&](const auto& field) { return field.first == name; };
      const auto field = std::find_if(function.fields.begin(), function.fields.end(), same);
      cells.push_back(field == function.fields.end() ? "-" : human(name, field->second));
    }
    cells.push_back(escape(function.function));
    table.add(std::move(cells));
  }
  return out + "\n" + table.text(output.data_screen().width);
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
  add_command(app, context, {"stats", "", "Every counter, also per function", "",
              "  oncectl stats\n"
              "  oncectl stats --json | jq '.functions[] | {function, hits}'\n"},
              [&context] { return stats(context); });
}

}  // namespace onced::cli
