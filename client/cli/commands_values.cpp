// put, get: values in and out, byte for byte.
#include <cerrno>
#include <cstring>
#include <memory>

#include <fcntl.h>
#include <unistd.h>

#include <onced/protocol/limits.hpp>

#include "context.hpp"
#include "descriptor.hpp"
#include "key_words.hpp"
#include "text_format.hpp"

namespace onced::cli {
namespace {

// All that `descriptor` has, or too_large as soon as it is more than a value may be.
Result<std::string> read_value(int descriptor, const std::string& name) {
  std::string bytes;
  std::string chunk(16 * 1024, '\0');
  while (true) {
    const ssize_t got = ::read(descriptor, chunk.data(), chunk.size());
    if (got == 0) return bytes;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error{ErrorCode::invalid_argument, "cannot read " + name + ": " + std::strerror(errno)};
    bytes.append(chunk, 0, static_cast<std::size_t>(got));
    if (bytes.size() > limits::value_bytes_max) {
      return Error{ErrorCode::too_large,
                   name + " is larger than a value may be (" + std::to_string(limits::value_bytes_max) + " bytes)"};
    }
  }
}

Result<std::string> read_value_file(const std::string& path) {
  const client_detail::Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.open()) return Error{ErrorCode::invalid_argument, "cannot open " + path + ": " + std::strerror(errno)};
  return read_value(file.number(), path);
}

struct PutWords {
  KeyWords key;
  std::string file;
  std::string ttl;
  std::string content_type;
};

int put(Context& context, const PutWords& words) {
  PutOptions options;
  options.content_type = words.content_type;
  if (!words.ttl.empty()) {
    const auto ttl = parse_duration(words.ttl);
    if (!ttl || ttl->count() == 0) {
      return context.fail({ErrorCode::invalid_argument, "--ttl " + words.ttl + ": not a time such as 500ms, 90s or 2h"});
    }
    options.ttl = *ttl;
  }
  const Result<Key> key = make_key(words.key);
  if (!key) return context.fail(key.error());
  const bool from_input = words.file.empty() || words.file == "-";
  if (from_input && ::isatty(STDIN_FILENO) == 1) context.output.talk("reading the value from the terminal; Ctrl-D ends it");
  Result<std::string> bytes = from_input ? read_value(STDIN_FILENO, "standard input") : read_value_file(words.file);
  if (!bytes) return context.fail(bytes.error());

  Client client(context.client_options());
  const Result<std::uint64_t> version = client.put(key->bytes(), std::move(*bytes), options);
  if (!version) return context.fail(version.error());
  if (context.options.json) {
    Json line = key_json(key->bytes());
    line["version"] = *version;
    line["stored"] = *version != 0;
    context.json_line(line);
  }
  if (*version == 0) {
    return context.fail({ErrorCode::out_of_memory, "not stored: the memory is full of values that somebody is reading; "
                                                   "who waited for the key has it. Give the daemon more memory"});
  }
  return exit_code::ok;
}

int get(Context& context, const KeyWords& words) {
  const Result<Key> key = make_key(words);
  if (!key) return context.fail(key.error());
  Client client(context.client_options());
  const Result<std::optional<Value>> found = client.get(key->bytes());
  if (!found) return context.fail(found.error());
  if (!found->has_value()) {
    context.output.talk("no value for " + key->display());
    return exit_code::miss;
  }
  const Value& value = **found;
  if (context.options.json) {
    Json line = key_json(key->bytes());
    line["version"] = value.version();
    line["content_type"] = value.content_type();
    line["cost_us"] = value.cost_us();
    line["bytes"] = value.bytes().size();
    if (is_utf8(value.text())) line["text"] = value.text();
    else line["base64"] = base64(value.text());
    context.json_line(line);
  } else {
    context.output.data(value.text());
  }
  return exit_code::ok;
}

}  // namespace

void add_value_commands(CLI::App& app, Context& context) {
  auto put_words = std::make_shared<PutWords>();
  CLI::App& put_command = add_command(
      app, context,
      {"put", "FUNCTION [ARGS]", "Store a value from a file or standard input",
       "A value has at most 64 KiB. Whoever waits for it gets it; a computation of it in\nflight is superseded.\n",
      "  echo hello | oncectl put greeting\n"
      "  oncectl put report '[\"2026-11\", 7]' --file report.pdf --content-type application/pdf\n"
      "  oncectl put prices '{\"market\": \"north\"}' --ttl 10m < prices.json\n"},
      [&context, put_words] { return put(context, *put_words); });
  add_key_words(put_command, put_words->key);
  put_command.add_option("--file", put_words->file, "Read the value from here (default or \"-\": standard input)")
      ->type_name("F");
  put_command.add_option("--ttl", put_words->ttl, "How long it stays (default: until evicted)")->type_name("TIME");
  put_command.add_option("--content-type", put_words->content_type, "A MIME type, kept with the value")->type_name("TYPE");

  auto get_words = std::make_shared<KeyWords>();
  CLI::App& get_command =
      add_command(app, context,
                  {"get", "FUNCTION [ARGS]", "Write a value's bytes to standard output",
                   "Unchanged, nothing added. Exit code 1 when there is no such value.\n",
                  "  oncectl get greeting\n"
                  "  oncectl get report '[\"2026-11\", 7]' > report.pdf\n"
                  "  oncectl get prices '{\"market\": \"north\"}' || compute-prices\n"},
                  [&context, get_words] { return get(context, *get_words); });
  add_key_words(get_command, *get_words);
}

}  // namespace onced::cli
