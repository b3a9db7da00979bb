// put, get: values in and out, byte for byte.
#include <memory>
#include <vector>

#include <unistd.h>

#include "context.hpp"
#include "disk_view.hpp"
#include "key_words.hpp"
#include "nearest_key.hpp"
#include "part_input.hpp"
#include "part_words.hpp"
#include "reach.hpp"
#include "retention_words.hpp"
#include "stale_note.hpp"
#include "text_format.hpp"
#include "value_output.hpp"

namespace onced::cli {
namespace {

struct PutWords {
  KeyWords key;
  PartWords parts;
  RetentionWords retention;
};

// Opens every source before anything is reserved: a file that is not there has no effect.
Result<std::vector<PartInput>> open_all(Context& context, const std::vector<PartSource>& sources) {
  std::vector<PartInput> inputs;
  for (const PartSource& source : sources) {
    if (source.path == "-" && ::isatty(STDIN_FILENO) == 1) context.output.talk("reading from the terminal; Ctrl-D ends it");
    Result<PartInput> input = PartInput::open(source);
    if (!input) return input.error();
    inputs.push_back(std::move(*input));
  }
  return inputs;
}

// "computed 2 ms ago but not kept: what happened", as the daemon tells it of every value: of a put the end is enough.
std::string reason_in(const std::string& line) {
  constexpr std::string_view told = " but not kept: ";
  const std::size_t at = line.find(told);
  return at == std::string::npos ? line : line.substr(at + told.size());
}

int put(Context& context, const PutWords& words) {
  PutOptions options;
  const Result<Retention> retention = retention_of(words.retention);
  if (!retention) return context.fail(retention.error());
  retention->apply_to(options);
  // Mistakes first: they are to have no effect, not even on a session's idle time.
  if (const Result<Key> checked = make_key(words.key); !checked) return context.fail(checked.error());
  const Result<std::vector<PartSource>> sources = part_sources(words.parts);
  if (!sources) return context.fail(sources.error());
  Result<std::vector<PartInput>> inputs = open_all(context, *sources);
  if (!inputs) return context.fail(inputs.error());

  Result<Reach> reach = Reach::open(context);
  if (!reach) return context.fail(reach.error());
  const Result<Key> key = reach->key(words.key);
  if (!key) return context.fail(key.error());
  ValueBuilder builder = reach->client().builder(key->bytes());
  for (PartInput& input : *inputs) {
    if (const Result<void> added = input.add_to(builder); !added) return context.fail(added.error());
  }
  const Result<std::uint64_t> version = reach->put(*key, std::move(builder), options);
  const bool only_in_memory = !version && version.error().code == ErrorCode::not_durable;
  if (!version && !only_in_memory) return context.fail(version.error());
  if (context.options.json) {
    Json line = key_json(key->bytes());
    line["version"] = only_in_memory ? Json(nullptr) : Json(*version);
    line["stored"] = only_in_memory || *version != 0;
    if (options.durable) line["durable"] = version && *version != 0;
    context.json_line(line);
  }
  if (only_in_memory) return context.fail({ErrorCode::not_durable, not_durable_text(reach->client().status())});
  if (*version == 0) {
    const Result<protocol::Explanation> why = reach->explain(*key);
    const bool is_said = why && why->row.version == 0 && !why->lines.empty();
    return context.fail({ErrorCode::out_of_memory, "not stored" + (is_said ? ": " + reason_in(why->lines.front()) : std::string())});
  }
  return exit_code::ok;
}

struct GetWords {
  KeyWords key;
  PartChoice part;
};

// A part that is not there is looked for in what the daemon knows of the value, before the value is read: that would count as a hit. Nothing: it is
// there, or the daemon does not say.
std::optional<int> refuse_missing_part(Context& context, Reach& reach, const Key& key, const std::string& part) {
  const Result<protocol::Explanation> known = reach.explain(key);
  if (!known || known->row.version == 0 || known->parts.size() < known->row.parts) return std::nullopt;
  std::vector<std::string> names;
  for (const protocol::PartRow& one : known->parts) {
    if (one.name == part) return std::nullopt;
    names.push_back(one.name);
  }
  context.output.talk(no_such_part(part, names));
  return exit_code::miss;
}

int print_json(Context& context, Reach& reach, const Key& key, const Value& value, const PartChoice& choice) {
  Json line = key_json(key.bytes());
  line["version"] = value.version();
  line["stale"] = value.stale();
  const std::optional<std::uint64_t> age_ms = age_ms_of(reach, key, value);
  line["age_ms"] = age_ms ? Json(*age_ms) : Json(nullptr);
  line["cost_us"] = value.cost_us();
  line["parts"] = parts_json(value);
  const Result<Part> part = value.part(std::string_view(choice.name.value_or("")));
  if (!part && (choice.name || part.error().code != ErrorCode::not_found)) return write_part(context, value, choice);
  if (part) {
    line["content_type"] = part->content_type;
    line["bytes"] = part->bytes.size();
    if (is_utf8(part->text())) line["text"] = part->text();
    else line["base64"] = base64(part->text());
  }
  context.json_line(line);
  return exit_code::ok;
}

int get(Context& context, const GetWords& words) {
  if (const Result<Key> checked = make_key(words.key); !checked) return context.fail(checked.error());
  Result<Reach> reach = Reach::open(context);
  if (!reach) return context.fail(reach.error());
  const Result<Key> key = reach->key(words.key);
  if (!key) return context.fail(key.error());
  if (words.part.name) {
    if (const std::optional<int> refused = refuse_missing_part(context, *reach, *key, *words.part.name)) return *refused;
  }
  const Result<std::optional<Value>> found = reach->get(*key);
  if (!found) return context.fail(found.error());
  if (!found->has_value()) {
    if (context.options.json) {
      Json line = key_json(key->bytes());
      line["version"] = nullptr;
      context.json_line(line);
    }
    context.output.talk("no value for " + key->display());
    // For people: a version that was forgotten is what a miss most often comes from.
    const Result<NearestKey> nearest = find_nearest(*reach, *key);
    if (nearest && !nearest->versions().empty()) context.output.talk(nearest->lines().front());
    return exit_code::miss;
  }
  const Value& value = **found;
  if (context.options.json) return print_json(context, *reach, *key, value, words.part);
  const int status = write_part(context, value, words.part);
  if (status == exit_code::ok) note_if_stale(context, *reach, *key, value);
  return status;
}

}  // namespace

void add_value_commands(CLI::App& app, Context& context) {
  auto put_words = std::make_shared<PutWords>();
  Command put_command = add_command(
      app, context,
      {"put", "FUNCTION [ARGS]", "Store a value from files or standard input",
       "Of any size that the daemon's memory has room for. A value is one part without a\n"
       "name, or several with names, which are stored together: nobody sees some of them.\n"
       "NAME ends at the first \"=\"; FILE \"-\" is standard input, for one part at most.\n"
       "Whoever waits for the value gets it; a computation of it in flight is superseded.\n"
       "With --durable exit code 7 says that it is stored, but in memory only.\n",
      "  echo hello | oncectl put greeting\n"
      "  oncectl put report '[\"2026-11\", 7]' --file report.pdf --content-type application/pdf\n"
      "  oncectl put prices '{\"market\": \"north\"}' --ttl 10m --grace 1h < prices.json\n"
      "  oncectl put model --part weights=model.bin --part card=card.json \\\n"
      "    --part-type card=application/json\n"
      "  oncectl put rates --durable < rates.json   # survives a power loss from here on\n"
      "  render | oncectl put scene '[7]' --part image=- --part log=render.log\n"},
      [&context, put_words] { return put(context, *put_words); });
  add_key_words(put_command, put_words->key);
  PartWords& parts = put_words->parts;
  put_command.add_option("--file", parts.file, "The part without a name (default or \"-\": standard input)", "F");
  put_command.add_options("--part", parts.parts, "A part and where its bytes are (repeat for more)", "NAME=FILE");
  put_command.add_options("--part-type", parts.types, "A part's own MIME type (repeat for more)", "NAME=TYPE");
  put_command.add_option("--content-type", parts.content_type, "The MIME type of all other parts", "TYPE");
  add_retention_options(put_command, put_words->retention);

  auto get_words = std::make_shared<GetWords>();
  Command get_command =
      add_command(app, context,
                  {"get", "FUNCTION [ARGS]", "Write a value's bytes to standard output",
                   "Unchanged, nothing added; of one part only, which is all that is read. Exit code\n"
                   "1 when there is no such value, or no part of that name (standard error names those\n"
                   "that there are; it is no hit), 2 when the value has named parts only and --part is\n"
                   "missing, or when bytes that are no plain text would go to a terminal. A stale\n"
                   "value (past its time, within its grace) is written as well, and a note to standard\n"
                   "error says so. With --json a miss is a line whose version is null.\n"
                   "With --json the fields stale, age_ms and version, and a list of the parts as well.\n",
                  "  oncectl get greeting\n"
                  "  oncectl get report '[\"2026-11\", 7]' > report.pdf\n"
                  "  oncectl get model --part weights > model.bin\n"
                  "  oncectl get model --json | jq -r '.parts[].name'\n"
                  "  oncectl get prices '{\"market\": \"north\"}' || compute-prices\n"},
                  [&context, get_words] { return get(context, *get_words); });
  add_key_words(get_command, get_words->key);
  add_part_options(get_command, get_words->part);
}

}  // namespace onced::cli
