// Follows a computation in another process from a poll() loop: state, started, progress, done.
//
//   ONCED_SOCKET=... example_event_loop
#include <onced/client.hpp>

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <thread>

namespace {

int compute_elsewhere(const onced::Key& key) {
  onced::Client client;
  const auto value = client.get_or_compute(key, {}, [](onced::Computation& computation) {
    for (int step = 1; step <= 4; ++step) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      computation.progress(step / 4.0, "step " + std::to_string(step) + " of 4");
    }
    return std::string("the report");
  });
  return value.ok() ? 0 : 1;
}

}  // namespace

int main() {
  using onced::protocol::SignalEvent;
  const auto key = onced::KeyBuilder("report", "v1").add("2024").build();
  if (!key) return 1;

  onced::Client client;
  auto subscription = client.subscribe(*key);
  if (!subscription) {
    std::fprintf(stderr, "cannot subscribe: %s\n", subscription.error().text.c_str());
    return 1;
  }
  const pid_t worker = fork();
  if (worker == 0) _exit(compute_elsewhere(*key));

  int progress = 0;
  bool done = false;
  while (!done) {
    // A real program has more descriptors here.
    pollfd entries[] = {{subscription->descriptor(), POLLIN, 0}};
    if (poll(entries, 1, 30'000) <= 0) return 1;
    const auto delivered = subscription->poll([&](const onced::Event& event) {
      switch (event.kind) {
        case onced::Event::Kind::state:
          std::printf("now: %zu entries known of this key\n", event.state.entries.size());
          return;
        case onced::Event::Kind::resync:
          std::printf("something was missed; this is how it stands\n");
          return;
        case onced::Event::Kind::signal:
          break;
      }
      const onced::protocol::Signal& signal = event.signal;
      const std::string_view name = onced::protocol::name_of(signal.event);
      std::printf("%.*s %3.0f %% %s\n", static_cast<int>(name.size()), name.data(), 100 * signal.fraction, signal.text.c_str());
      progress += signal.event == SignalEvent::progress;
      done = done || signal.event == SignalEvent::done;
    });
    if (!delivered) {
      std::fprintf(stderr, "subscription refused: %s\n", delivered.error().text.c_str());
      return 1;
    }
  }
  const auto value = client.peek(*key);  // visible before its signal is sent
  if (!value) return 1;
  std::printf("read: %.*s\n", static_cast<int>(value->text().size()), value->text().data());
  int status = 0;
  waitpid(worker, &status, 0);
  return status == 0 && progress == 4 && value->text() == "the report" ? 0 : 1;
}
