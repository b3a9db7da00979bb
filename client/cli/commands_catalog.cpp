// ls, explain: which values there are, and why one is or is not.
#include <memory>

#include "context.hpp"
#include "key_words.hpp"
#include "run_result.hpp"
#include "text_format.hpp"

namespace onced::cli {
namespace {

Json row_json(const protocol::ListRow& row) {
  Json line = key_json(row.key);
  line["state"] = protocol::name_of(row.state);
  line["version"] = row.version;
  line["bytes"] = row.bytes;
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

int list(Context& context, const std::string& function) {
  Client client(context.client_options());
  Table table({{"STATE"}, {"SIZE", Table::Align::right}, {"COST", Table::Align::right}, {"AGE", Table::Align::right},
               {"LEFT", Table::Align::right}, {"WAITING", Table::Align::right}, {"KEY"}});
  std::size_t rows = 0;
  std::string cursor;
  do {
    const Result<protocol::Listing> page = client.list(function, cursor);
    if (!page) return context.fail(page.error());
    for (const protocol::ListRow& row : page->rows) {
      ++rows;
      if (context.options.json) {
        context.json_line(row_json(row));
        continue;
      }
      const bool value = row.state == protocol::KeyState::ready;
      std::string key = key_display(row.key);
      if (!row.holder.empty()) key += "  by " + escape(row.holder);
      table.add({std::string(protocol::name_of(row.state)), value ? human_bytes(row.bytes) : "-",
                 value ? human_duration(seconds_of_us(row.cost_us)) : "-", human_duration(seconds_of_ms(row.age_ms)),
                 row.ttl_left_ms != 0 ? human_duration(seconds_of_ms(row.ttl_left_ms)) : "-", human_count(row.waiting),
                 std::move(key)});
    }
    cursor = page->cursor;
  } while (!cursor.empty());
  if (context.options.json) return exit_code::ok;
  if (rows == 0) context.output.talk(function.empty() ? "nothing is kept or computed" : "nothing of " + escape(function));
  else context.output.data(table.text(context.output.data_screen().width));
  return exit_code::ok;
}

int explain(Context& context, const KeyWords& words) {
  const Result<Key> key = make_key(words);
  if (!key) return context.fail(key.error());
  Client client(context.client_options());
  const Result<protocol::Explanation> explanation = client.explain(key->bytes());
  if (!explanation) return context.fail(explanation.error());
  if (context.options.json) {
    Json line = row_json(explanation->row);
    line["lines"] = explanation->lines;
    context.json_line(line);
  } else {
    std::string text = context.output.bold(key->display()) + ": " + std::string(protocol::name_of(explanation->row.state)) + "\n";
    for (const std::string& line : explanation->lines) text += "  " + escape(failure_sentence(line)) + "\n";
    context.output.data(text);
  }
  return explanation->row.state == protocol::KeyState::absent ? exit_code::miss : exit_code::ok;
}

}  // namespace

void add_catalog_commands(CLI::App& app, Context& context) {
  auto function = std::make_shared<std::string>();
  CLI::App& list_command = add_command(app, context, {"ls", "[FUNCTION]", "Values and computations, one a line", "",
                                       "  oncectl ls\n"
                                       "  oncectl ls prices\n"
                                       "  oncectl ls --json | jq -r 'select(.bytes > 10000) | .function'\n"},
                                       [&context, function] { return list(context, *function); });
  list_command.add_option("FUNCTION", *function, "Only of this function")->type_name("");

  auto words = std::make_shared<KeyWords>();
  CLI::App& explain_command =
      add_command(app, context,
                  {"explain", "FUNCTION [ARGS]", "Why a value is there or not, who computes, who waits",
                   "Exit code 1 when there is neither a value nor a computation.\n",
                   "  oncectl explain prices '{\"market\": \"north\"}'\n"},
                  [&context, words] { return explain(context, *words); });
  add_key_words(explain_command, *words);
}

}  // namespace onced::cli
