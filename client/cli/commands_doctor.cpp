// doctor: what is wrong, and how to mend it.
#include <algorithm>
#include <cstdlib>

#include "context.hpp"
#include "doctor_checks.hpp"
#include "key_words.hpp"
#include "reports.hpp"
#include "text_format.hpp"

namespace onced::cli {
namespace {

constexpr std::size_t subject_columns = 13;

void append(Findings& all, Findings more) { std::move(more.begin(), more.end(), std::back_inserter(all)); }

bool fails(const Findings& findings) {
  return std::any_of(findings.begin(), findings.end(), [](const Finding& finding) { return finding.level == Finding::Level::fail; });
}

// What the daemon itself can tell, over an ordinary connection.
void ask_daemon(Client& client, std::uint32_t daemon_pid, std::uint64_t segment_bytes, Findings& findings) {
  std::vector<protocol::ListRow> rows;
  std::string cursor;
  do {
    Result<protocol::Listing> page = client.list({}, cursor);
    if (!page) {
      findings.push_back({Finding::Level::fail, "daemon", "does not list its entries: " + page.error().text, remedy_for(page.error().code)});
      return;
    }
    std::move(page->rows.begin(), page->rows.end(), std::back_inserter(rows));
    cursor = page->cursor;
  } while (!cursor.empty());
  append(findings, check_holders(rows));
  if (const Result<protocol::Report> status = client.status()) {
    append(findings, check_blobs(*status));
    append(findings, check_memory(daemon_pid, segment_bytes, *status));
    append(findings, check_disk(*status));
  } else {
    findings.push_back({Finding::Level::fail, "daemon", status.error().text, remedy_for(status.error().code)});
  }
  if (const Result<protocol::Statistics> statistics = client.statistics()) {
    findings.push_back(check_pinned(statistics->fields));
    findings.push_back(check_turns(statistics->fields));
    const Findings of_limits = check_limit_use(statistics->fields);
    findings.insert(findings.end(), of_limits.begin(), of_limits.end());
  } else {
    findings.push_back({Finding::Level::fail, "daemon", statistics.error().text, remedy_for(statistics.error().code)});
  }
}

void print(Context& context, const Finding& finding) {
  if (context.options.json) {
    Json line;
    line["level"] = name_of(finding.level);
    line["check"] = finding.subject;
    line["text"] = finding.text;
    if (!finding.remedy.empty()) line["remedy"] = finding.remedy;
    context.json_line(line);
    return;
  }
  std::string level(name_of(finding.level));
  level.resize(4, ' ');
  if (finding.level == Finding::Level::ok) level = context.output.green(level);
  if (finding.level == Finding::Level::warn) level = context.output.yellow(level);
  if (finding.level == Finding::Level::fail) level = context.output.red(level);
  std::string subject = finding.subject;
  subject.resize(std::max(subject.size() + 1, subject_columns), ' ');
  const std::size_t columns = context.output.data_screen().width;
  const std::size_t before = 6 + subject_columns;
  context.output.data(level + "  " + subject + wrapped(escape(finding.text), columns, before) + "\n");
  if (!finding.remedy.empty()) context.output.data(std::string(before, ' ') + "-> " + wrapped(escape(finding.remedy), columns, before + 3) + "\n");
}

// Why the client goes to the socket to which it goes.
std::string source_of_socket(const GlobalOptions& options) {
  if (!options.socket.empty()) return "--socket";
  const char* variable = std::getenv("ONCED_SOCKET");
  return variable != nullptr && *variable != '\0' ? "ONCED_SOCKET" : "the default";
}

int doctor(Context& context) {
  Client client(context.client_options());
  Findings findings = check_socket(client.socket_path(), source_of_socket(context.options));
  int code = exit_code::ok;
  const auto timeout = context.options.timeout.value_or(Milliseconds(5000));
  const auto greeting = Handshake::make(client.socket_path(), context.options.namespace_name, timeout);
  if (const auto* handshake = std::get_if<Handshake>(&greeting)) {
    append(findings, check_peer(*handshake));
    findings.push_back(check_seals("segment", handshake->segment(), true, handshake->welcome().segment_bytes));
    findings.push_back(check_seals("pin page", handshake->pin_page(), false, handshake->welcome().pin_page_bytes));
    ask_daemon(client, handshake->welcome().daemon_pid, handshake->welcome().segment_bytes, findings);
    append(findings, check_limits(handshake->welcome().daemon_pid));
  } else {
    const auto& none = std::get<NoHandshake>(greeting);
    // What is wrong with the socket has been said.
    if (!fails(findings)) findings.push_back({Finding::Level::fail, "daemon", none.text, none.remedy});
    append(findings, check_other_daemons(client.socket_path(), serving_daemons()));
    code = exit_code_for(none.code);
  }
  append(findings, check_kernel());
  for (const Finding& finding : findings) print(context, finding);
  if (code == exit_code::ok && fails(findings)) code = exit_code::miss;
  return code;
}

}  // namespace

void add_doctor_command(CLI::App& app, Context& context) {
  add_command(app, context,
              {"doctor", "", "What is wrong, and how to mend it",
               "Looks at the socket that every command uses (and says why that one), permissions,\n"
               "seals, kernel, memory, descriptors, large parts, the disk, long computations and\n"
               "long turns of the daemon's loop; when nobody serves there, at who serves elsewhere.\n"
               "Exit code 0 when nothing fails, 3 or 5 when the daemon cannot be reached or refuses,\n"
               "else 1.\n",
              "  oncectl doctor\n"
              "  oncectl doctor --json | jq 'select(.level != \"ok\")'\n"},
              [&context] { return doctor(context); });
}

}  // namespace onced::cli
