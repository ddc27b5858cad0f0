// A policy client in C++: dial under CURVE, shake hands, ask once, print the chunk. The wire is described in ../WIRE.md.
//   g++ -std=c++17 -O2 client.cpp -o client -lzmq
//   ./client tcp://127.0.0.1:7400 keys/server.pub keys/client.pub keys/client.key BUNDLE/manifest.json IDENTITY OBS...
// IDENTITY: the first 16 hex digits of the contract's identity, as `robostral bundle show` prints it.
#include <zmq.h>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#pragma pack(push, 1)  // little-endian machines
struct Request { char magic[4]; uint32_t crc; uint8_t version, type; uint16_t flags; uint32_t budget_us;
                 uint64_t session, seq, t_obs_ns; uint8_t contract[8]; uint16_t rows, consumed; };
struct Reply { char magic[4]; uint32_t crc; uint8_t version, type; uint16_t status; uint32_t total_us;
               uint64_t session, seq, t_obs_ns; uint8_t bundle[8]; uint16_t rows, consumed; uint32_t queue_us, infer_us; };
#pragma pack(pop)

static void fail(const char* why) { std::fprintf(stderr, "%s\n", why); std::exit(1); }

static std::string read_file(const char* path) {
    std::stringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
}

static uint32_t crc32(const std::string& data, size_t from, uint32_t token) {  // as zlib's, started from the token
    uint32_t crc = ~token;
    for (size_t i = from; i < data.size(); i++) {
        crc ^= uint8_t(data[i]);
        for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    return ~crc;
}

static std::string receive(void* socket) {
    std::string message(1 << 16, '\0');
    int size = zmq_recv(socket, message.data(), message.size(), 0);
    if (size < 0 || size > int(message.size())) fail("no answer: is the key allowed?");
    return message.substr(0, size);
}

int main(int argc, char** argv) {
    if (argc < 8) fail("usage: client ENDPOINT SERVER.pub CLIENT.pub CLIENT.key MANIFEST.json IDENTITY OBS...");
    void* socket = zmq_socket(zmq_ctx_new(), ZMQ_DEALER);
    const int options[] = {ZMQ_CURVE_SERVERKEY, ZMQ_CURVE_PUBLICKEY, ZMQ_CURVE_SECRETKEY}, wait_ms = 5000;
    for (int i = 0; i < 3; i++) zmq_setsockopt(socket, options[i], read_file(argv[2 + i]).substr(0, 40).c_str(), 41);
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &wait_ms, sizeof wait_ms);
    if (zmq_connect(socket, argv[1]) != 0) fail("malformed endpoint");

    std::string manifest = read_file(argv[5]);  // holds the contract as a JSON string, escaped as the hello needs it
    size_t begin = manifest.find('"', manifest.find("\"contract\":") + 11), end = begin + 1;
    while (manifest[end] != '"') end += manifest[end] == '\\' ? 2 : 1;
    std::string hello = R"({"type":"hello","robot":"cpp","role":"act","wire":1,"contract":)" +
                        manifest.substr(begin, end - begin + 1) + "}";
    zmq_send(socket, hello.data(), hello.size(), 0);
    std::string answer = receive(socket);
    if (answer.find("\"accepted\"") == std::string::npos) fail(answer.c_str());
    uint32_t token = std::strtoul(answer.c_str() + answer.find("\"token\":") + 8, nullptr, 10);

    Request head = {{'R', 'B', 'S', 'T'}, 0, 1, 1, 0, 1000000, 1, 1, 1, {}, 1, 0xFFFF};
    for (int i = 0; i < 8; i++) head.contract[i] = std::stoul(std::string(argv[6] + 2 * i, 2), nullptr, 16);
    std::vector<float> obs;
    for (int i = 7; i < argc; i++) obs.push_back(std::strtof(argv[i], nullptr));
    std::string frame((char*)&head, sizeof head);
    frame.append((char*)obs.data(), 4 * obs.size());
    uint32_t crc = crc32(frame, 8, token);
    std::memcpy(frame.data() + 4, &crc, 4);
    zmq_send(socket, frame.data(), frame.size(), 0);

    std::string raw = receive(socket);
    Reply reply;
    if (raw.size() < sizeof reply) fail(raw.c_str());
    std::memcpy(&reply, raw.data(), sizeof reply);
    if (std::memcmp(reply.magic, "RBST", 4) || reply.crc != crc32(raw, 8, token) || reply.seq != 1) fail("not our reply");
    if (reply.status != 0) fail("the server answers late, bad_obs or fault");
    const float* chunk = (const float*)(raw.data() + sizeof reply);
    for (size_t i = 0; i < (raw.size() - sizeof reply) / 4; i++) std::printf("%.9g\n", chunk[i]);
}
