// A pre-fork server, as gunicorn is one: the parent connects and loads, forks workers, and each of them serves. The
// client is made once, before the fork; each worker notices by itself and has a connection of its own.
//
//   ONCED_SOCKET=... example_prefork
#include <onced/client.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <thread>

namespace {

constexpr int workers = 8;

// 0: served; 10: served and computed; 1: something was off.
int serve(onced::Client& client, const onced::Value& settings, const onced::Key& key) {
  if (settings.text() != "currency=EUR") return 1;  // taken by the parent before the fork
  const auto page = client.get_or_compute(key, {}, [](onced::Computation&) {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    return "page rendered by " + std::to_string(getpid());
  });
  if (!page) {
    std::fprintf(stderr, "worker %d: %s\n", getpid(), page.error().text.c_str());
    return 1;
  }
  std::printf("  worker %d serves: %.*s%s\n", getpid(), static_cast<int>(page->text().size()), page->text().data(),
              page->computed_here() ? " (computed here)" : "");
  std::fflush(stdout);
  return page->computed_here() ? 10 : 0;
}

}  // namespace

int main() {
  onced::Client client;
  const auto settings_key = onced::KeyBuilder("settings").build();
  const auto page_key = onced::KeyBuilder("front_page", "v1").add("en").build();
  if (!settings_key || !page_key) return 1;
  if (!client.put(settings_key->bytes(), "currency=EUR")) return 1;
  const auto settings = client.peek(*settings_key);
  if (!settings) return 1;

  std::printf("parent %d forks %d workers\n", getpid(), workers);
  std::fflush(stdout);
  for (int i = 0; i < workers; ++i) {
    if (fork() == 0) _exit(serve(client, *settings, *page_key));
  }
  int computed = 0;
  bool right = true;
  for (int i = 0; i < workers; ++i) {
    int status = 0;
    wait(&status);
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
    right = right && code % 10 == 0;
    computed += code / 10;
  }
  const auto page = client.peek(*page_key);
  std::printf("computed %d time(s); the parent reads: %.*s\n", computed,
              page ? static_cast<int>(page->text().size()) : 0, page ? page->text().data() : "");
  return right && computed == 1 && page ? 0 : 1;
}
