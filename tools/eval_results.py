"""AP and AR of a results file.

    python tools/eval_results.py results.json data/ytvis_2021/valid.json [--json stats.json]
"""
import argparse
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs in a checkout, installed or not

from mmvis.evaluation import evaluate_results  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description='AP and AR of a results file by the rules of YouTube-VIS.')
    parser.add_argument('results', help='results.json: a list of video_id, category_id, score, segmentations')
    parser.add_argument('annotations', help='annotation file with ground truth, in the YouTube-VIS format')
    parser.add_argument('--json', metavar='FILE', help='also write the statistics to this file')
    args = parser.parse_args()
    try:
        evaluation = evaluate_results(args.results, args.annotations)
        print(evaluation.table())
        if args.json:
            text = json.dumps(dict(stats=evaluation.stats, per_category=evaluation.per_category), indent=1)
            fresh = Path(f'{args.json}.{os.getpid()}.tmp')
            fresh.write_text(text + '\n', encoding='utf-8')
            fresh.replace(args.json)
    except (OSError, ValueError) as error:
        sys.exit(f'eval_results: {error}')


if __name__ == '__main__':
    main()
