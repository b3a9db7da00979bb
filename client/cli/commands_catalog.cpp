// ls, explain: which values there are, and why one is or is not.
#include <algorithm>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "context.hpp"
#include "key_words.hpp"
#include "nearest_key.hpp"
#include "run_result.hpp"
#include "text_format.hpp"
#include "value_output.hpp"

namespace onced::cli {
namespace {

Json row_json(const protocol::ListRow& row) {
  Json line = key_json(row.key);
  line["state"] = protocol::name_of(row.state);
  line["version"] = row.version;
  line["bytes"] = row.bytes;
  line["blob_bytes"] = row.blob_bytes;
  line["part_count"] = row.parts;
  line["readers"] = row.pins;
  line["content_type"] = row.content_type;
  line["cost_us"] = row.cost_us;
  line["age_ms"] = row.age_ms;
  if (row.ttl_left_ms != 0) line["ttl_left_ms"] = row.ttl_left_ms;
  line["waiting"] = row.waiting;
  if (!row.holder.empty()) line["holder"] = row.holder;
  return line;
}

double seconds_of_us(std::uint64_t us) { return static_cast<double>(us) / 1e6; }
double seconds_of_ms(std::uint64_t ms) { return static_cast<double>(ms) / 1e3; }

// Where a value's bytes are: with its key in the segment, in memory of their own, or some here and some there.
std::string_view places_of(const protocol::ListRow& row) {
  if (row.blob_bytes == 0) return place_of(false);
  return row.blob_bytes == row.bytes ? place_of(true) : "both";
}

// A number that nothing hides behind is not worth a column of its own on a terminal.
struct CatalogColumns {
  bool parts = true;
  bool place = true;
  bool readers = true;
  bool left = true;
  bool waiting = true;

  static CatalogColumns of(const std::vector<protocol::ListRow>& rows) {
    const auto any = [&](auto&& says) { return std::any_of(rows.begin(), rows.end(), says); };
    return {any([](const auto& row) { return row.parts > 1; }), any([](const auto& row) { return row.blob_bytes > 0; }),
            any([](const auto& row) { return row.pins > 0; }), any([](const auto& row) { return row.ttl_left_ms > 0; }),
            any([](const auto& row) { return row.waiting > 0; })};
  }
};

std::string catalog_text(const std::vector<protocol::ListRow>& rows, const Screen& screen) {
  const CatalogColumns shown = screen.terminal ? CatalogColumns::of(rows) : CatalogColumns{};
  const auto right = Table::Align::right;
  std::vector<Table::Column> columns{{"STATE"}, {"SIZE", right}};
  if (shown.parts) columns.push_back({"PARTS", right});
  if (shown.place) columns.push_back({"WHERE"});
  if (shown.readers) columns.push_back({"READERS", right});
  columns.insert(columns.end(), {{"COST", right}, {"AGE", right}});
  if (shown.left) columns.push_back({"LEFT", right});
  if (shown.waiting) columns.push_back({"WAITING", right});
  columns.push_back({"KEY"});
  Table table(std::move(columns));
  for (const protocol::ListRow& row : rows) {
    const bool value = row.state == protocol::KeyState::ready;
    const auto of_value = [value](std::string text) { return value ? std::move(text) : std::string("-"); };
    std::vector<std::string> cells{std::string(protocol::name_of(row.state)),
                                   of_value(screen.terminal ? human_bytes(row.bytes) : std::to_string(row.bytes))};
    if (shown.parts) cells.push_back(of_value(human_count(row.parts)));
    if (shown.place) cells.push_back(of_value(std::string(places_of(row))));
    if (shown.readers) cells.push_back(of_value(human_count(row.pins)));
    cells.push_back(of_value(human_duration(seconds_of_us(row.cost_us))));
    cells.push_back(human_duration(seconds_of_ms(row.age_ms)));
    if (shown.left) cells.push_back(row.ttl_left_ms != 0 ? human_duration(seconds_of_ms(row.ttl_left_ms)) : "-");
    if (shown.waiting) cells.push_back(human_count(row.waiting));
    cells.push_back(key_display(row.key) + (row.holder.empty() ? "" : "  by " + escape(row.holder)));
    table.add(std::move(cells));
  }
  return table.text(screen.width);
}

int list(Context& context, const std::string& function) {
  Client client(context.client_options());
  std::vector<protocol::ListRow> rows;
  std::string cursor;
  do {
    Result<protocol::Listing> page = client.list(function, cursor);
    if (!page) return context.fail(page.error());
    if (context.options.json) {
      for (const protocol::ListRow& row : page->rows) context.json_line(row_json(row));
    } else {
      std::move(page->rows.begin(), page->rows.end(), std::back_inserter(rows));
    }
    cursor = page->cursor;
  } while (!cursor.empty());
  if (context.options.json) return exit_code::ok;
  if (rows.empty()) context.output.talk(function.empty() ? "nothing is kept or computed" : "nothing of " + escape(function));
  else context.output.data(catalog_text(rows, context.output.data_screen()));
  return exit_code::ok;
}

Json part_json(const protocol::PartRow& part) {
  Json line = Json::object();
  line["name"] = part.name;
  line["content_type"] = part.content_type;
  line["bytes"] = part.bytes;
  line["where"] = place_of(part.blob != 0);
  return line;
}

std::string parts_text(const protocol::Explanation& explanation, const Screen& screen) {
  Table table({{"  PART"}, {"SIZE", Table::Align::right}, {"WHERE"}, {"TYPE"}});
  for (const protocol::PartRow& part : explanation.parts) {
    table.add({"  " + (part.name.empty() ? "(no name)" : escape(part.name)), human_bytes(part.bytes),
               std::string(place_of(part.blob != 0)), part.content_type.empty() ? "-" : escape(part.content_type)});
  }
  std::string text = table.text(screen.width);
  if (explanation.parts.size() < explanation.row.parts) {
    text += "  and " + human_count(explanation.row.parts - explanation.parts.size()) + " more\n";
  }
  return text;
}

int explain(Context& context, const KeyWords& words) {
  const Result<Key> key = make_key(words);
  if (!key) return context.fail(key.error());
  Client client(context.client_options());
  const Result<protocol::Explanation> explanation = client.explain(key->bytes());
  if (!explanation) return context.fail(explanation.error());
  const bool absent = explanation->row.state == protocol::KeyState::absent;
  std::optional<NearestKey> nearest;
  if (absent) {
    Result<NearestKey> found = find_nearest(client, *key);
    if (!found) return context.fail(found.error());
    nearest = std::move(*found);
  }
  if (context.options.json) {
    Json line = row_json(explanation->row);
    if (nearest) line.update(nearest->json());
    line["parts"] = Json::array();
    for (const protocol::PartRow& part : explanation->parts) line["parts"].push_back(part_json(part));
    line["lines"] = explanation->lines;
    context.json_line(line);
  } else {
    std::string text = context.output.bold(key->display()) + ": " + std::string(protocol::name_of(explanation->row.state)) + "\n";
    for (const std::string& line : explanation->lines) text += "  " + escape(failure_sentence(line)) + "\n";
    if (nearest) {
      for (const std::string& line : nearest->lines()) text += "  " + line + "\n";
    }
    if (!explanation->parts.empty()) text += parts_text(*explanation, context.output.data_screen());
    context.output.data(text);
  }
  return absent ? exit_code::miss : exit_code::ok;
}

}  // namespace

void add_catalog_commands(CLI::App& app, Context& context) {
  auto function = std::make_shared<std::string>();
  CLI::App& list_command = add_command(app, context, {"ls", "[FUNCTION]", "Values and computations, one a line",
                                       "Off a terminal all columns are there and sizes are bytes; on one, columns without\n"
                                       "news are left out. WHERE: memory (beside the key), blob (memory of its own, for\n"
                                       "large parts) or both. READERS: who holds the value at this moment.\n",
                                       "  oncectl ls\n"
                                       "  oncectl ls prices\n"
                                       "  oncectl ls --json | jq -r 'select(.bytes > 10000) | .function'\n"},
                                       [&context, function] { return list(context, *function); });
  list_command.add_option("FUNCTION", *function, "Only of this function")->type_name("");

  auto words = std::make_shared<KeyWords>();
  CLI::App& explain_command =
      add_command(app, context,
                  {"explain", "FUNCTION [ARGS]", "Why a value is there or not, its parts, who waits",
                   "For each part its size, where it is (memory: beside the key; blob: in memory of\n"
                   "its own) and its MIME type; and how many readers hold the value, whose memory is\n"
                   "not reused before they let go. On a miss, when it was there last and why it went; the\n"
                   "versions under which the same arguments have a value; or the nearest entry of the\n"
                   "function and the arguments in which it differs, looked for among its first 4,096.\n"
                   "Exit code 1 when there is neither a value nor a computation.\n",
                   "  oncectl explain prices '{\"market\": \"north\"}'\n"
                   "  oncectl explain prices '[\"north\"]' --json | jq .nearest.differences\n"},
                  [&context, words] { return explain(context, *words); });
  add_key_words(explain_command, *words);
}

}  // namespace onced::cli
