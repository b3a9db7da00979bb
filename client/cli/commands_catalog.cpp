// ls, explain: which values there are, and why one is or is not.
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "catalog_rows.hpp"
#include "context.hpp"
#include "count_option.hpp"
#include "key_words.hpp"
#include "name_option.hpp"
#include "nearest_key.hpp"
#include "reach.hpp"
#include "run_result.hpp"
#include "text_format.hpp"
#include "value_output.hpp"

namespace onced::cli {
namespace {

struct ListWords {
  std::string function;
  std::string sort;
  std::string limit;
};

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

void print_lines(Context& context, const std::vector<protocol::ListRow>& rows) {
  for (const protocol::ListRow& row : rows) context.json_line(row_json(row));
}

int list(Context& context, const ListWords& words) {
  const std::optional<RowOrder> order = words.sort.empty() ? RowOrder::key : row_order(words.sort);
  if (!order) return context.fail({ErrorCode::invalid_argument, "--sort " + words.sort + ": not one of size, cost, age, hits"});
  const Result<std::uint64_t> limit = count_option("--limit", words.limit);
  if (!limit) return context.fail(limit.error());
  if (const Result<void> named = function_option("FUNCTION", words.function); !named) return context.fail(named.error());
  RowSelection selection(*order, *limit == 0 ? std::nullopt : std::optional<std::size_t>(*limit));
  Result<Reach> reach = Reach::open(context);
  if (!reach) return context.fail(reach.error());
  std::string cursor;
  do {
    Result<protocol::Listing> page = reach->list(words.function, cursor);
    if (!page) return context.fail(page.error());
    for (protocol::ListRow& row : page->rows) selection.add(std::move(row));
    // In the order in which they come, lines need not wait for the last one.
    if (context.options.json && *order == RowOrder::key) print_lines(context, selection.take());
    cursor = page->cursor;
  } while (!cursor.empty() && !selection.full());
  const std::vector<protocol::ListRow> rows = selection.take();
  if (context.options.json) {
    print_lines(context, rows);
  } else if (rows.empty()) {
    context.output.talk(words.function.empty() ? "nothing is kept or computed" : "nothing of " + escape(words.function));
  } else {
    const RowsText text = rows_text(rows, context.output.data_screen(), *order);
    context.output.data(text.table);
    if (!text.left_out.empty()) context.output.talk("the screen is too narrow for " + joined(text.left_out) + "; `| cat` and --json have all of it");
  }
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

// What it was computed from, and what has become of that.
Json upstream_json(const protocol::UpstreamRow& upstream) {
  Json line = key_json(upstream.key);
  line["version"] = upstream.version;
  line["state"] = protocol::name_of(upstream.state);
  line["present"] = upstream.present;
  if (!upstream.text.empty()) line["happened"] = upstream.text;
  if (!upstream.origin.empty()) line["happened_to"] = key_json(upstream.origin);
  return line;
}

Json explanation_json(const protocol::Explanation& explanation) {
  Json line = row_json(explanation.row);
  if (explanation.stale_cause != protocol::StaleCause::fresh) {
    line["stale_because"] = protocol::name_of(explanation.stale_cause);
    line["stale_ms"] = explanation.stale_ms;
  }
  if (!explanation.softened_by.empty()) {
    line["invalidated_softly"] = Json::object();
    line["invalidated_softly"]["by"] = explanation.softened_by;
    line["invalidated_softly"]["ago_ms"] = explanation.softened_ms;
  }
  line["depends_on"] = Json::array();
  for (const protocol::UpstreamRow& upstream : explanation.upstreams) line["depends_on"].push_back(upstream_json(upstream));
  line["depends_on_count"] = explanation.upstreams_all;
  line["dependants"] = explanation.dependants;
  line["parts"] = Json::array();
  for (const protocol::PartRow& part : explanation.parts) line["parts"].push_back(part_json(part));
  line["lines"] = explanation.lines;
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
  if (const Result<Key> checked = make_key(words); !checked) return context.fail(checked.error());
  Result<Reach> reach = Reach::open(context);
  if (!reach) return context.fail(reach.error());
  const Result<Key> key = reach->key(words);
  if (!key) return context.fail(key.error());
  const Result<protocol::Explanation> explanation = reach->explain(*key);
  if (!explanation) return context.fail(explanation.error());
  const bool absent = explanation->row.state == protocol::KeyState::absent;
  std::optional<NearestKey> nearest;
  if (absent) {
    Result<NearestKey> found = find_nearest(*reach, *key);
    if (!found) return context.fail(found.error());
    nearest = std::move(*found);
  }
  if (context.options.json) {
    Json line = explanation_json(*explanation);
    if (nearest) line.update(nearest->json());
    context.json_line(line);
  } else {
    std::string text = context.output.bold(key->display(whole_key)) + ": " + std::string(state_word(explanation->row)) + "\n";
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
  auto list_words = std::make_shared<ListWords>();
  Command list_command = add_command(app, context, {"ls", "[FUNCTION]", "Values and computations, one a line",
                                       "Off a terminal all columns are there, keys are whole and sizes are bytes; on one,\n"
                                       "columns without news are left out, and for the sake of long keys those that say least,\n"
                                       "which a note names. WHERE: memory (beside the key), blob (memory of its own, for large\n"
                                       "parts) or both. READERS: who holds the value at this moment. HITS: at least so many;\n"
                                       "readers of the shared memory report some of theirs. LEFT: how long it is fresh; GRACE:\n"
                                       "and then usable, being stale, while one caller refreshes it. STATE: ready, stale,\n"
                                       "refreshing (there is a value, and its successor is computed), computing, queued (its\n"
                                       "function computes as many as it may, max_concurrent), failed. PLACE: in the queue of\n"
                                       "its function. SESSION: the number of the session whose alone it is (`sessions ls`).\n"
                                       "In JSON under_way_ms says how long it has been computed or queued.\n",
                                       "  oncectl ls\n"
                                       "  oncectl ls prices --sort cost --limit 10     # the dearest ones first\n"
                                       "  oncectl ls --json | jq -r 'select(.bytes > 10000) | .function'\n"},
                                       [&context, list_words] { return list(context, *list_words); });
  list_command.add_word("FUNCTION", list_words->function, "Only of this function");
  list_command.add_option("--sort", list_words->sort, "The most first: size, cost, age or hits (default: by key)", "BY");
  list_command.add_option("--limit", list_words->limit, "Only the first so many (default: all)", "N");

  auto words = std::make_shared<KeyWords>();
  Command explain_command =
      add_command(app, context,
                  {"explain", "FUNCTION [ARGS]", "Why a value is there or not, its parts, who waits",
                   "For each part its size, where it is (memory: beside the key; blob: in memory of\n"
                   "its own) and its MIME type; and how many readers hold the value, whose memory is\n"
                   "not reused before they let go. Of a stale value, why it is so: its time is over, it\n"
                   "was invalidated softly (when, by whom), or what it was computed from has changed.\n"
                   "In JSON that is stale_because: time, invalidated or upstream; invalidated_softly: by,\n"
                   "ago_ms; and depends_on: what it was computed from, each with function, arguments,\n"
                   "version, state (current, outdated, invalidated), present (that version is the value\n"
                   "now), happened and happened_to (the key further up where it began). On a miss, when\n"
                   "it was there last and why it went; the versions under which the same arguments have\n"
                   "a value; or the nearest entry of the function and the arguments in which it differs,\n"
                   "looked for among its first 4,096.\n"
                   "Exit code 1 when there is neither a value nor a computation, nor one that is queued.\n",
                   "  oncectl explain prices '{\"market\": \"north\"}'\n"
                   "  oncectl explain prices '[\"north\"]' --json | jq .nearest.differences\n"
                  "  oncectl explain prices --json | jq '.depends_on[] | select(.state != \"current\")'\n"},
                  [&context, words] { return explain(context, *words); });
  add_key_words(explain_command, *words);
}

}  // namespace onced::cli
