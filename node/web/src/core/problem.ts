/** What an error body may say (RFC 9457). */
interface ProblemBody {
  type?: unknown;
  title?: unknown;
  detail?: unknown;
  edges?: unknown;
  regions?: unknown;
}

/** Problem is a refusal of the node, in its own words. */
export class Problem extends Error {
  readonly status: number;
  /** The last part of `type`, for example "forbidden" of "urn:rotunda:problem:forbidden"; "" when there is none. */
  readonly slug: string;
  /** Nodes to ask instead, the best first; none where the node names none. */
  readonly bases: readonly string[];
  /** The regions that the room is kept in, where the node stands outside of them. */
  readonly regions: readonly string[];
  /** How long the node asks not to be asked again, in ms; 0 where it does not say. */
  readonly after: number;

  constructor(status: number, message: string, slug = "", bases: readonly string[] = [], regions: readonly string[] = [], after = 0) {
    super(message);
    this.name = "Problem";
    this.status = status;
    this.slug = slug;
    this.bases = bases;
    this.regions = regions;
    this.after = after;
  }

  /** final reports whether asking again cannot help: the request itself was refused. */
  get final(): boolean {
    return this.status >= 400 && this.status < 500 && this.status !== 408 && this.status !== 425 && this.status !== 429;
  }
}

/** Longest text of a problem that is shown. */
const textMax = 300;

/** readProblem makes the error of a response that is not 2xx. It never fails, whatever the body is. */
export async function readProblem(response: Response): Promise<Problem> {
  const after = afterOf(response.headers.get("Retry-After"));
  const fallback = `${response.status} ${response.statusText}`.trim();
  try {
    const body = (await response.json()) as ProblemBody | null;
    const text = [body?.detail, body?.title].find((value) => typeof value === "string" && value !== "") as string | undefined;
    const type = typeof body?.type === "string" ? body.type : "";
    return new Problem(response.status, (text ?? fallback).slice(0, textMax), type.slice(type.lastIndexOf(":") + 1), basesOf(body?.edges), regionsOf(body?.regions), after);
  } catch {
    return new Problem(response.status, fallback, "", [], [], after);
  }
}

/** Longest wait that a node may ask for, in ms. */
const afterMax = 60_000;

/** afterOf reads a Retry-After in seconds (RFC 9110 §10.2.3), which is how nodes write it. */
function afterOf(header: string | null): number {
  const seconds = Number(header);
  return header !== null && seconds > 0 ? Math.min(seconds * 1000, afterMax) : 0;
}

/** basesOf reads the addresses of the nodes that a problem names. */
function basesOf(edges: unknown): string[] {
  if (!Array.isArray(edges)) return [];
  return edges.map((edge: { url?: unknown } | null) => edge?.url).filter((url) => typeof url === "string");
}

/** regionsOf reads the names of regions that a problem tells. */
function regionsOf(regions: unknown): string[] {
  return Array.isArray(regions) ? regions.filter((region) => typeof region === "string" && region !== "") : [];
}

/** Said is a failure that this page found itself, in words for the person. */
export class Said extends Error {}
