// Uses the installed library without a daemon: what is computed locally is right as well.
#include <onced/client.hpp>
#include <onced/memoize.hpp>

#include <cstdio>
#include <string>
#include <vector>

int main() {
  onced::ClientOptions options;
  options.socket = "/nowhere/onced.sock";
  options.on_warning = [](std::string_view) {};
  onced::Client client(options);

  const auto key = onced::KeyBuilder("greeting", "v1").add("world").build();
  if (!key) return 1;
  const auto value =
      client.get_or_compute(*key, {}, [](onced::Computation&) { return std::string("hello, world"); });
  if (!value || value->text() != "hello, world") return 2;

  const auto squares = onced::memoize(client, "squares", [](int count) {
    std::vector<int> result;
    for (int i = 0; i < count; ++i) result.push_back(i * i);
    return result;
  });
  const auto result = squares(4);
  if (!result || *result != std::vector<int>{0, 1, 4, 9}) return 3;

  std::printf("%s\n", std::string(value->text()).c_str());
  return 0;
}
