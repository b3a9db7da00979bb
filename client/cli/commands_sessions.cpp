// sessions: those of a namespace, for the operator; and one by its id, for scripts.
//
// Ids are secrets: they are written where somebody has asked for a new one, and nowhere else.
#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "command_line.hpp"
#include "context.hpp"
#include "key_words.hpp"
#include "reach.hpp"
#include "text_format.hpp"
#include "time_option.hpp"

namespace onced::cli {
namespace {

struct SessionWords {
  std::string action;
  std::string idle;
  std::string age;
};

std::string duration_of_ms(std::uint64_t milliseconds) { return human_duration(static_cast<double>(milliseconds) / 1e3); }

Json row_json(const protocol::SessionRow& row) {
  Json line = Json::object();
  line["number"] = row.number;
  line["digest"] = row.digest;
  line["bytes"] = row.bytes;
  line["entries"] = row.entries;
  line["age_ms"] = row.age_ms;
  line["idle_ms"] = row.idle_ms;
  line["idle_left_ms"] = row.idle_left_ms == 0 ? Json(nullptr) : Json(row.idle_left_ms);
  line["absolute_left_ms"] = row.absolute_left_ms == 0 ? Json(nullptr) : Json(row.absolute_left_ms);
  return line;
}

std::string left_text(const protocol::SessionRow& row) {
  if (row.idle_left_ms == 0 && row.absolute_left_ms == 0) return "-";
  if (row.idle_left_ms == 0) return duration_of_ms(row.absolute_left_ms);
  if (row.absolute_left_ms == 0) return duration_of_ms(row.idle_left_ms);
  return duration_of_ms(std::min(row.idle_left_ms, row.absolute_left_ms));
}

int list(Context& context, Client& client, std::optional<std::uint64_t> only) {
  std::vector<protocol::SessionRow> rows;
  std::uint64_t cursor = only ? *only - 1 : 0;
  do {
    Result<protocol::SessionListing> page = client.list_sessions(cursor);
    if (!page) return context.fail(page.error());
    for (protocol::SessionRow& row : page->rows)
      if (!only || row.number == *only) rows.push_back(std::move(row));
    cursor = only ? 0 : page->cursor;
  } while (cursor != 0);
  if (context.options.json) {
    for (const protocol::SessionRow& row : rows) context.json_line(row_json(row));
    return exit_code::ok;
  }
  if (rows.empty()) {
    context.output.talk("no sessions");
    return exit_code::ok;
  }
  using Align = Table::Align;
  Table table({{"SESSION"}, {"NUMBER", Align::right}, {"SIZE", Align::right}, {"VALUES", Align::right}, {"AGE", Align::right},
               {"IDLE", Align::right}, {"ENDS IN", Align::right}});
  for (const protocol::SessionRow& row : rows) {
    table.add({escape(row.digest), std::to_string(row.number), human_bytes(row.bytes), std::to_string(row.entries), duration_of_ms(row.age_ms),
               duration_of_ms(row.idle_ms), left_text(row)});
  }
  context.output.data(table.text(context.output.data_screen().width));
  return exit_code::ok;
}

// Its id is told here, and by nobody again.
int tell(Context& context, const Session& session) {
  if (!context.options.json) {
    context.output.data(session.id() + "\n");
    return exit_code::ok;
  }
  Json line = Json::object();
  line["id"] = session.id();
  line["number"] = session.number();
  line["idle_ttl_ms"] = session.idle_ttl().count() == 0 ? Json(nullptr) : Json(session.idle_ttl().count());
  line["absolute_left_ms"] = session.absolute_ttl_left().count() == 0 ? Json(nullptr) : Json(session.absolute_ttl_left().count());
  context.json_line(line);
  return exit_code::ok;
}

Result<SessionOptions> options_of(const SessionWords& words) {
  SessionOptions options;
  const auto take = [](const char* option, const std::string& text, std::optional<Milliseconds>& into) -> Result<void> {
    if (text.empty()) return {};
    const Result<Milliseconds> time = time_option(option, text);
    if (!time) return time.error();
    into = *time;
    return {};
  };
  if (auto taken = take("--idle", words.idle, options.idle_ttl); !taken) return taken.error();
  if (auto taken = take("--age", words.age, options.absolute_ttl); !taken) return taken.error();
  return options;
}

int sessions(Context& context, const SessionWords& words) {
  if (const auto problem = unknown_action("sessions", words.action, {"new", "ls", "show", "rotate", "touch", "end"}))
    return context.fail({ErrorCode::invalid_argument, *problem});
  if (words.action == "new") {
    const Result<SessionOptions> options = options_of(words);
    if (!options) return context.fail(options.error());
    Client client(context.client_options());
    const Result<Session> made = client.new_session(*options);
    return made ? tell(context, *made) : context.fail(made.error());
  }
  for (const auto& [option, text] : {std::pair("--idle", &words.idle), std::pair("--age", &words.age)}) {
    if (!text->empty()) return context.fail({ErrorCode::invalid_argument, std::string(option) + " is of `sessions new`"});
  }
  if (words.action == "ls") {
    Client client(context.client_options());
    return list(context, client, std::nullopt);
  }
  if (context.options.session.empty())
    return context.fail({ErrorCode::invalid_argument, "which session? Put its id into the variable ONCED_SESSION, or give --session ID"});
  Client client(context.client_options());
  Result<Session> session = client.session(context.options.session);  // a use already
  if (!session) return context.fail(session.error());
  if (words.action == "show") return list(context, client, session->number());
  if (words.action == "rotate") {
    const Result<Session> rotated = session->rotate();
    return rotated ? tell(context, *rotated) : context.fail(rotated.error());
  }
  if (words.action == "end") {
    const Result<std::uint64_t> dropped = session->end();
    if (!dropped) return context.fail(dropped.error());
    if (context.options.json) context.json_line(Json{{"count", *dropped}});
    else context.output.data(plural(*dropped, "value") + " dropped\n");
    return exit_code::ok;
  }
  const Result<void> touched = session->touch();
  return touched ? exit_code::ok : context.fail(touched.error());
}

}  // namespace

void add_session_commands(CLI::App& app, Context& context) {
  auto words = std::make_shared<SessionWords>();
  Command command = add_command(
      app, context,
      {"sessions", "new|ls|show|rotate|touch|end", "Make, list, renew and end sessions",
       "A session is the data of one application user. `new` and `rotate` write its id: a\n"
       "secret, like a password. Other users of the machine see command lines (ps), so\n"
       "better put it into the variable ONCED_SESSION than behind --session. `ls` and\n"
       "`show` name a session by the first digits of its id's SHA-256. After `rotate`\n"
       "the old id is dead and the data is under the new one; after `end` all is gone.\n"
       "An ONCED_SESSION that is set and empty is exit code 2: nothing that was meant for\n"
       "one user goes to everybody because making the session has failed.\n"
       "ENDS IN counts if it is not used meanwhile.\n"
       "Where values are kept on disk, sessions go on after a restart; `end` has exit code 7\n"
       "when the disk could not be written: it has ended, and a restart may find it again.\n",
       "  ONCED_SESSION=$(oncectl sessions new --idle 15m) && export ONCED_SESSION\n"
       "  oncectl run -- make-basket          # once in this session\n"
       "  oncectl sessions show; oncectl ls\n"
       "  ONCED_SESSION=$(oncectl sessions rotate)\n"
       "  oncectl sessions end\n"},
      [&context, words] { return sessions(context, *words); });
  command.add_word("ACTION", words->action, "new, ls, show, rotate, touch or end", Need::required);
  command.add_option("--idle", words->idle, "Of a new one: ends when it was not used for so long\n(default and most: as configured)", "TIME");
  command.add_option("--age", words->age, "Of a new one: ends at this age (likewise)", "TIME");
}

}  // namespace onced::cli
